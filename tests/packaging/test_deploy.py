"""The files of ``deploy/``: checked by the tools that will read them."""

import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml

from gatepass.config_file import configured
from gatepass.core.catalogue import parse_catalogue
from gatepass.environment import IN_FILES, PREFIX
from gatepass.settings import Settings
from gatepass.web.server.supervisor import STOP_SECONDS
from tests.support.apps.installation import PASSWORD
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "gatepass.service"
#: systemd's own scale: below 2.0 is its best grade but one.
EXPOSURE = 2.0

pytestmark = pytest.mark.processes


def analyze(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_unit_has_no_fault(tmp_path: Path) -> None:
    here = tmp_path / "gatepass.service"
    here.write_text(UNIT.read_text().replace("/opt/gatepass/bin/gatepass", sys.executable))
    assert analyze("verify", "--man=no", here) == ""


def test_the_unit_is_confined() -> None:
    found = re.search(
        r"exposure level for \S+: ([0-9.]+)", analyze("security", "--offline=true", UNIT)
    )
    assert found is not None
    assert float(found[1]) < EXPOSURE


def test_the_unit_goes_on_starting_and_has_time_to_stop() -> None:
    lines = UNIT.read_text().splitlines()
    assert "StartLimitIntervalSec=0" in lines[lines.index("[Unit]") : lines.index("[Service]")]
    [timeout] = [int(line[len("TimeoutStopSec=") :]) for line in lines if "TimeoutStop" in line]
    # The delay up to which the page says that it needs no change.
    page = (ROOT / "docs/how-to/run-under-systemd.md").read_text()
    found = re.search(r"With a delay above (\d+) s", page)
    assert found is not None
    assert timeout >= int(found[1]) + STOP_SECONDS


def test_the_image_runs_unprivileged_with_exact_versions() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    images = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", images[0])
    assert "USER 10001:10001" in text.splitlines()
    assert "--require-hashes" in text
    # What is copied is let in by .dockerignore.
    let_in = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE)
    assert {name for line in copied for name in line.split()} == let_in
    for name in let_in:
        assert (ROOT / name).exists()
    # Which of the two is installed.
    assert "ARG REQUIREMENTS=server" in text.splitlines()
    assert {"requirements/server.txt", "requirements/extras.txt"} <= let_in


def test_the_extras_are_pinned_with_the_same_server() -> None:
    def pinned(name: str) -> dict[str, str]:
        text = (ROOT / f"requirements/{name}.txt").read_text()
        return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))

    server, extras = pinned("server"), pinned("extras")
    assert server.items() <= extras.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["optional-dependencies"]
    named = [re.split("[^\\w-]", each)[0] for extra in ("otel", "grpc") for each in wanted[extra]]
    assert named
    assert set(named) <= set(extras) - set(server)


def builder() -> str | None:
    """A program that can build and run images here: its daemon answers, where it needs one."""
    for name in ("podman", "docker"):
        if shutil.which(name):
            info = subprocess.run([name, "info"], capture_output=True, check=False)
            # The client of docker exits with 0 even if there is no daemon.
            if info.returncode == 0 and b"ERROR" not in info.stdout + info.stderr:
                return name
    return None


@pytest.mark.skipif(builder() is None, reason="needs podman or docker; the file is checked below")
def test_the_image_is_built_and_serves(tmp_path: Path) -> None:
    """As in docs/how-to/run-in-a-container.md: read-only, without capabilities, unprivileged."""
    program = builder()
    assert program is not None

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [program, *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    image, volume = f"gatepass-test-{tmp_path.parent.name}", f"gatepass-{tmp_path.parent.name}"
    run("build", "-f", str(ROOT / "deploy/Dockerfile"), "-t", image, str(ROOT))
    confined = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
    confined = (*confined, "-v", f"{volume}:/var/lib/gatepass")
    init = ("init", "--company", "Acme", "--email", "ada@acme.example", "--password-stdin")
    try:
        run("run", "--rm", "-i", *confined, image, *init, stdin=f"{PASSWORD}\n")
        container = run("run", "-d", *confined, "-p", "127.0.0.1::8787", image)
        try:
            address = run("port", container, "8787").splitlines()[0]
            until(lambda: _answers(f"http://{address}/health/ready"))
            login = {"email": "ada@acme.example", "password": PASSWORD}
            answer = httpx.post(f"http://{address}/v1/authentications", json=login)
            assert answer.status_code == 201
            assert run("exec", container, "id", "-u") == "10001"
            run("stop", container)
        finally:
            run("rm", "-f", container)
    finally:
        run("volume", "rm", "-f", volume)
        run("rmi", "-f", image)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


#: What each instruction of the file begins with, by its stage; one that is unknown fails.
_INSTRUCTION = re.compile(
    r"FROM \S+( AS \w+)?|ARG \w+=\w+|WORKDIR /\S+|COPY (--from=\w+ )?\S.* \S+|RUN \S.*"
    r"|ENV \S+=.*|USER \d+:\d+|VOLUME /\S+|EXPOSE [\d ]+|STOPSIGNAL SIGTERM"
    r"|HEALTHCHECK .* CMD \[.*\]|ENTRYPOINT \[.*\]|CMD \[.*\]"
)


def test_every_instruction_of_the_image_is_well_formed() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    instructions = [each for each in kept.replace("\\\n", "").splitlines() if each.strip()]
    unknown = [each for each in instructions if not _INSTRUCTION.fullmatch(each)]
    assert unknown == []
    for each in instructions:
        kind, _, rest = each.partition(" ")
        if kind in ("ENTRYPOINT", "CMD"):
            assert json.loads(rest)
        elif kind == "RUN":
            subprocess.run(["sh", "-n", "-c", rest], check=True)


class _Health(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/live" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (302, False)])
def test_the_health_check_asks_the_port_that_is_set_and_no_proxy(
    status: int, healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Health, "status", status)
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    found = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", text, re.MULTILINE)
    assert found is not None
    program, *arguments = json.loads(found[1])
    assert program == "python"
    environ = {
        "GATEPASS_HOST": "0.0.0.0",
        **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9"),
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), _Health) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            environ["GATEPASS_PORT"] = str(server.server_port)
            done = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True)
            assert (done.returncode == 0) is healthy, done.stderr
        finally:
            server.shutdown()
        assert "or 8787" in arguments[1], "the default port"


def test_compose_confines_it_and_sets_what_exists() -> None:
    read = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    service = read["services"]["gatepass"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    known = {*Settings.names(), *(f"{name}_FILE" for name in IN_FILES)}
    assert {name.removeprefix(PREFIX) for name in service["environment"]} <= known
    in_files = {n: v for n, v in service["environment"].items() if not n.endswith("_FILE")}
    Settings.read({**in_files, "GATEPASS_DATA_DIR": "/data"})
    for one in read["services"].values():
        assert set(one["secrets"]) <= set(read["secrets"])


def test_the_documented_settings_are_read() -> None:
    environ = {"GATEPASS_CONFIG": str(ROOT / "deploy" / "gatepass.toml")}
    settings = Settings.read(configured(environ, Settings.names()).environ)
    assert settings.public_url == "https://tokens.example.com"
    assert settings.verify_port == 8788
    parse_catalogue((ROOT / "deploy" / "catalogue.yaml").read_text())
