"""The wheel in empty environments: it contains and requires what it needs, and no more."""

import gzip
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import httpx
import pytest

from gatepass.web.pages.layout.static_files import _FILES
from tests.support.grants.grant_file_fixture import new_grant_file
from tests.support.waiting import LIMIT_S

ROOT = Path(__file__).parents[2]
PINNED = ROOT / "requirements" / "server.txt"
# The wheel must work without the tests' environment variables.
ENVIRON = {
    name: text
    for name, text in os.environ.items()
    if name not in ("PYTHONPATH", "PYTHONHOME") and not name.startswith("GATEPASS_")
}

DECIDE = """
import importlib.util, json, sys
from gatepass import open_verifier
import gatepass.verify.replica.following  # what Verifier.follow needs
from gatepass.testing import FakeVerifier
fake = FakeVerifier()
assert fake.check(fake.token("charges:get"), permission="charges:get").allowed
decision = open_verifier(sys.argv[1]).check(sys.argv[2], permission="charges:get")
server = ("fastapi", "starlette", "sqlalchemy", "httptools", "argon2", "jinja2", "typer")
found = [name for name in server if importlib.util.find_spec(name) is not None]
print(json.dumps([decision.reason, found]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT)
    (built,) = directory.glob("*.whl")
    return built


def run(*command: object, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        **{"env": ENVIRON, "capture_output": True, "text": True, "timeout": 300, **options},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: str = done.stdout
    return said


def new_environment(directory: Path, wheel: Path, requirements: Path) -> Path:
    """An environment with pinned *requirements* and the wheel; its ``bin`` directory."""
    run(sys.executable, "-m", "venv", "--without-pip", directory)
    quietly = ("--quiet", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", "--python", directory / "bin" / "python", *quietly)
    # Without byte-compiling, since most modules are never imported here.
    install = (*pip, "install", "--no-deps", "--no-compile")
    run(*install, "--require-hashes", "-r", requirements)
    run(*install, "--no-index", wheel)
    # The pinned packages must satisfy the wheel's requirements.
    run(*pip, "check")
    return directory / "bin"


def required(wheel: Path) -> set[str]:
    """The packages that plain ``gatepass`` requires."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    lines = metadata.get_all("Requires-Dist") or []
    return {re.split(r"[^\w-]", line)[0].lower() for line in lines if "extra ==" not in line}


def test_the_wheel_contains_exactly_the_source(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.startswith("gatepass-")}
        (listed,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        entry_points = archive.read(listed).decode()
    source = ROOT / "src"
    compressed = {name for name in packed if name.endswith(".gz")}
    assert packed - compressed == {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    # What is served is compressed already.
    assert {Path(name).name for name in compressed} == {f"{name}.gz" for name in _FILES}
    for name in compressed:
        content = gzip.decompress(zipfile.ZipFile(wheel).read(name))
        assert content == _FILES[Path(name).stem]
    for name in (
        "py.typed",
        "testing/fake_verifier.py",
        "registry/authentication/common-passwords.txt",
        "registry/storage/migrations/env.py",
        "web/pages/templates/base.html",
        "web/pages/static/gatepass.css",
        "web/components/static/access-tokens.js",
        "demo/catalogue.yaml",
        "demo/templates/demo.html",
        "demo/static/demo.js",
    ):
        assert f"gatepass/{name}" in packed
    # pytest finds the fixture by it.
    assert "[pytest11]\ngatepass = pytest_gatepass\n" in entry_points


def test_plain_gatepass_decides_with_four_small_packages(wheel: Path, tmp_path: Path) -> None:
    names = required(wheel)
    assert names == {"idna", "msgspec", "publicsuffixlist", "pyyaml"}
    pinned = tmp_path / "requirements.txt"
    blocks = re.split(r"\n(?=\S)", PINNED.read_text())
    pinned.write_text("\n".join(block for block in blocks if block.split("==")[0] in names))
    commands = new_environment(tmp_path / "plain", wheel, pinned)

    grants = new_grant_file(tmp_path / "gatepass.db")
    said = run(commands / "python", "-c", DECIDE, grants.path, grants.token(), cwd=tmp_path)
    assert json.loads(said) == ["allowed", []]

    # The command runs: what it can't do here, it says in one line that names the extra.
    for arguments, code, said in (
        (["--version"], 0, r"gatepass [\w.]+\n"),
        (["--help"], 0, r"Gatepass, .*'gatepass\[server\]'.*"),
        ([], 0, r"Gatepass, .*'gatepass\[server\]'.*"),
        (["serve"], 1, r"gatepass: \w+ isn't installed: .*'gatepass\[server\]' .*\n"),
    ):
        done = subprocess.run(
            [commands / "gatepass", *arguments], capture_output=True, text=True, env=ENVIRON
        )
        assert done.returncode == code
        assert re.fullmatch(said, done.stderr if code else done.stdout, re.DOTALL)
        assert (done.stdout if code else done.stderr) == ""


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_environment(tmp_path_factory.mktemp("environment") / "server", wheel, PINNED)


@pytest.fixture
def demo(server: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [server / "gatepass", "demo", "--port", "0", "--json"],
            cwd=tmp_path,
            env=ENVIRON,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (tmp_path / "log").read_text()
    yield json.loads(line)
    process.terminate()
    assert process.wait(LIMIT_S) == 0
    assert (tmp_path / "log").read_text() == ""


def test_the_demo_runs_from_the_wheel(demo: dict[str, str]) -> None:
    """Sign in, create a token, call the guarded API, open the pages, deactivate the token."""
    with httpx.Client(base_url=demo["address"]) as client:
        said = {"email": demo["email"], "password": demo["password"]}
        login = client.post("/v1/authentications", json=said).json()["token"]
        signed_in = {"authorization": f"Bearer {login}"}
        wanted = {"label": "from the wheel", "kind": "api", "permissions": ["charges:search"]}
        made = client.post("/v1/access-tokens", json=wanted, headers=signed_in)
        assert made.status_code == 201, made.text
        token = {"x-access-token": made.json()["token"]}
        assert client.get("/demo/v1/charges", headers=token).json()["items"]
        assert client.post("/demo/v1/charges", headers=token).json()["reason"] == (
            "permission_missing"
        )
        for path in ("/access-tokens", "/access-tokens/new"):
            page = client.get(path, headers=signed_in)
            assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")
        for path in ("/sign-in", "/demo", "/demo/demo.js", "/styleguide", "/v1/docs"):
            assert client.get(path).status_code == 200
        style = re.search(r'href="(/static/[^"]+\.css)"', client.get("/sign-in").text)
        assert style is not None
        assert client.get(style[1]).status_code == 200
        id = made.json()["id"]
        client.post(f"/v1/access-tokens/{id}/deactivate", headers=signed_in).raise_for_status()
        ended = client.get("/demo/v1/charges", headers=token)
        assert (ended.status_code, ended.json()["reason"]) == (401, "token_deactivated")


def test_the_wheel_creates_an_installation(server: Path, tmp_path: Path) -> None:
    environ = {**ENVIRON, "GATEPASS_DATA_DIR": str(tmp_path / "data")}
    init = ("init", "--company", "Acme", "--email", "ada@acme.example", "--password-stdin")
    command = server / "gatepass"
    run(command, *init, env=environ, cwd=tmp_path, input="correct horse battery staple\n")
    key = run(command, "verifier", "create", "--label", "x", env=environ, cwd=tmp_path)
    assert re.fullmatch(r"gpvk_\w{54}\n", key)
    common = subprocess.run(
        [command, *init], input="passwordpassword\n", env=environ, capture_output=True, text=True
    )
    assert "common password" in common.stderr
