"""Runs the tests of core, verify, registry and web on each Python that Gatepass is declared for.

Those that this machine lacks, uv brings. Those that it can't bring are named; then the exit
code is 0 all the same, if the tests passed on the others.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.prefix) / "bin"
ENVIRONMENTS = Path(sys.prefix) / "pythons"
LOCKED = [f"requirements/{name}.txt" for name in ("server", "dev")]
TESTS = [f"tests/{name}" for name in ("core", "verify", "registry", "web")]


def declared() -> list[str]:
    """The versions that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = (re.fullmatch(r".* :: Python :: (3\.\d+)", each) for each in project["classifiers"])
    return [each[1] for each in found if each is not None]


def interpreter(version: str) -> str | None:
    """The path of a Python of *version*; None if there is none to be had."""
    path = [Path(each) for each in os.environ["PATH"].split(os.pathsep)]
    of_pyenv = (Path.home() / ".pyenv/versions").glob(f"{version}.*/bin")
    for directory in (*path, *of_pyenv):
        python = directory / f"python{version}"
        # One of pyenv's shims may lead nowhere.
        if (
            python.exists()
            and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
        ):
            return str(python)
    uv = (BIN / "uv", "python")
    subprocess.run([*uv, "install", "--quiet", version])
    find = [*uv, "find", "--no-project", "--managed-python", version]
    return subprocess.run(find, capture_output=True, text=True).stdout.strip() or None


def passed(version: str, python: str, arguments: list[str]) -> bool:
    """Whether the tests pass on *python*, in an environment of its own with what is pinned."""
    environment = ENVIRONMENTS / version
    own = environment / "bin/python"
    if not own.exists():
        subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", own, "install", "--quiet"]
    for locked in LOCKED:
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / locked], check=True)
    install = ["--no-deps", "--no-build-isolation", "-e", ROOT]
    subprocess.run([*pip, *install], check=True)
    print(f"Python {version}: {python}", flush=True)
    tests = arguments or [*TESTS, "-n", "logical", "--dist", "loadfile", "-p", "no:randomly"]
    return subprocess.run([own, "-m", "pytest", *tests], cwd=ROOT).returncode == 0


def main() -> int:
    """Run the tests; the arguments take the place of pytest's."""
    found = {version: interpreter(version) for version in declared()}
    missing = [version for version, python in found.items() if python is None]
    failed = [
        version
        for version, python in found.items()
        if python is not None and not passed(version, python, sys.argv[1:])
    ]
    if missing:
        print(f"Not to be had here: Python {', '.join(missing)}", file=sys.stderr)
    if failed:
        print(f"Failed on: Python {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or len(missing) == len(found) else 0


if __name__ == "__main__":
    sys.exit(main())
