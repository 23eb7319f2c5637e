"""``gatepass demo``: what it prints works, and nothing is left behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.processes

COMMAND = [sys.executable, "-m", "gatepass.cli", "demo"]


class Started:
    """A demo started with *arguments*; its throwaway directory is in *temporary*."""

    def __init__(
        self, temporary: Path, *arguments: str, wait: bool = True, **settings: str
    ) -> None:
        environ = {
            **{name: text for name, text in os.environ.items() if name[:9] != "GATEPASS_"},
            "TMPDIR": str(temporary),
            "GATEPASS_WORKERS": "1",
            **settings,
        }
        self.errors = temporary / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.facts: dict[str, Any] = {}
        if wait:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            assert line, self.errors.read_text()
            self.facts = json.loads(line)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


def sign_in(facts: dict[str, Any], password: str) -> int:
    said = {"email": facts["email"], "password": password}
    return httpx.post(f"{facts['address']}/v1/authentications", json=said).status_code


def test_printed_credentials_work_and_the_demo_is_deleted(tmp_path: Path) -> None:
    # A real installation's settings must be ignored.
    real = {"GATEPASS_DATABASE_URL": "postgresql://real", "GATEPASS_DATA_DIR": "/proc/real"}
    # So must Kubernetes's variable for a Service.
    real |= {"GATEPASS_PORT": "tcp://10.96.0.17:8787", "GATEPASS_VERIFY_PORT": "tcp://10.96.0.1:1"}
    demo = Started(tmp_path, "--port", "0", "--json", GATEPASS_WORKERS="2", **real)
    facts = demo.facts
    assert list(tmp_path.glob("gatepass-demo-*"))
    assert sign_in(facts, facts["password"]) == 201
    assert sign_in(facts, "wrong wrong wrong") == 401
    tried = subprocess.run(["sh", "-c", f"{facts['try']} -s"], capture_output=True)
    assert json.loads(tried.stdout)["items"]
    asked = httpx.post(
        f"{facts['address']}/v1/verify",
        headers={"authorization": f"Bearer {facts['verifier_key']}"},
        json={"token": facts["access_token"], "method": "GET", "path": "/demo/v1/charges"},
    )
    assert asked.json()["allowed"] is True
    # Two workers share one store.
    made = [
        httpx.post(
            f"{facts['address']}/demo/v1/charges",
            headers={"x-access-token": facts["access_token"]},
        ).json()["id"]
        for _ in range(6)
    ]
    for id in made * 2:
        found = httpx.get(
            f"{facts['address']}/demo/v1/charges/{id}",
            headers={"x-access-token": facts["access_token"]},
        )
        assert found.status_code == 200
    assert demo.stop(signal.SIGINT) == 0
    assert not list(tmp_path.glob("gatepass-demo-*"))
    assert demo.errors.read_text() == ""


def test_a_kept_demo_is_served_again(tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    first = Started(tmp_path, "--port", "0", "--json", "--data-dir", kept)
    assert first.stop() == 0
    assert Path(kept).stat().st_mode & 0o777 == 0o700
    again = Started(tmp_path, "--port", "0", "--json", "--data-dir", kept)
    try:
        assert not {"password", "verifier_key", "access_token"} & set(again.facts)
        assert sign_in(again.facts, first.facts["password"]) == 201
        called = httpx.get(
            f"{again.facts['address']}/demo/v1/charges",
            headers={"x-access-token": first.facts["access_token"]},
        )
        assert called.status_code == 200
        page = httpx.get(again.facts["demo_page"].replace("localhost", "127.0.0.1")).text
        assert re.search(r'value="gpat_\w{54}"', page)
    finally:
        assert again.stop() == 0


def test_on_a_terminal_it_prints_lines_to_copy(tmp_path: Path) -> None:
    demo = Started(tmp_path, "--port", "0", wait=False)
    try:
        printed = ""
        assert demo.process.stdout is not None
        while "Ctrl-C" not in printed:
            line = demo.process.stdout.readline()
            assert line, demo.errors.read_text()
            printed += line
        for pattern in (
            r"^  Address: +http://127\.0\.0\.1:\d+$",
            r"^  E-mail: +\S+@\S+$",
            r"^  Password: +\S{15,}$",
            r"^  Verifier key: +gpvk_\w{54}$",
            r"^  Demo page: +http://localhost:\d+/demo$",
            r'^  curl -H "Authorization: Bearer gpat_\w{54}" http://127\.0\.0\.1:\d+/demo/v1/charges$',
        ):
            assert re.search(pattern, printed, re.M), printed
        assert "\x1b" not in printed
    finally:
        assert demo.stop(signal.SIGHUP) == 0
    assert not list(tmp_path.glob("gatepass-demo-*"))


def test_a_taken_port_is_reported_before_anything_is_created(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = Started(tmp_path, "--port", str(port), wait=False)
        assert demo.process.wait(LIMIT_S) == 1
    said = demo.errors.read_text()
    assert said.count("\n") == 1
    assert f"can't listen on port {port}" in said
    assert "--port N" in said
    assert not list(tmp_path.glob("gatepass-demo-*"))


@pytest.mark.parametrize("content", ["an installation", "rubbish"])
def test_an_unrelated_directory_is_refused(tmp_path: Path, content: str) -> None:
    data = tmp_path / "data"
    if content == "rubbish":
        data.mkdir()
        (data / "gatepass.db").write_bytes(b"dear diary\n" * 500)
    else:
        made = subprocess.run(
            [*COMMAND[:-1], "init", "--company", "A", "--email", "a@b.example", "--password-stdin"],
            env={**os.environ, "GATEPASS_DATA_DIR": str(data)},
            input=b"correct horse battery staple",
            timeout=LIMIT_S,
        )
        assert made.returncode == 0
    before = (data / "gatepass.db").read_bytes()
    demo = Started(tmp_path, "--port", "0", "--data-dir", str(data), wait=False)
    assert demo.process.wait(LIMIT_S) == 1
    assert demo.errors.read_text().count("\n") == 1
    assert (data / "gatepass.db").read_bytes() == before


def test_interrupting_its_creation_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = Started(tmp_path, "--port", "0", wait=False)
    until(lambda: list(tmp_path.glob("gatepass-demo-*/gatepass.db")))
    assert demo.stop() in (0, 1)
    assert not list(tmp_path.glob("gatepass-demo-*"))
    assert "Traceback" not in demo.errors.read_text()
