"""An installation as an operator runs it: ``gatepass init``, ``gatepass serve``, real ports."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from gatepass.registry.authentication.encryption import FILE_NAME, EncryptionKey
from tests.support.apps.installation import PASSWORD
from tests.support.needs import require
from tests.support.processes.ports import free_port

EMAIL = "ada@example.com"
CATALOGUE = """
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get:    {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
  charges:search: {title: "List charges", routes: ["GET /v1/charges"]}
"""


class Running:
    """A served installation; a context manager that stops it.

    Args:
        join: be another node of that installation, which is on PostgreSQL: the same database,
            encryption key and public URL, its own data directory and ports.

    Attributes:
        url: of the main port.
        verify_url: of the verify port.
        verifier_key: a verifier key's text.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str | None = None,
        join: "Running | None" = None,
        **settings: str,
    ) -> None:
        require("processes")
        directory.mkdir(parents=True, exist_ok=True)
        catalogue = directory / "catalogue.yaml"
        catalogue.write_text(CATALOGUE)
        self.port, self.verify_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.verify_url = f"http://127.0.0.1:{self.verify_port}"
        self.environ = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GATEPASS_")},
            "GATEPASS_DATA_DIR": str(directory / "data"),
            "GATEPASS_CATALOGUE": str(catalogue),
            "GATEPASS_PORT": str(self.port),
            "GATEPASS_VERIFY_PORT": str(self.verify_port),
            "GATEPASS_WORKERS": "2",
            "GATEPASS_VERIFY_WORKERS": "1",
            "GATEPASS_PUBLIC_URL": self.url,
            **settings,
        }
        if database_url is not None:
            self.environ["GATEPASS_DATABASE_URL"] = database_url
        self.log = directory / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._asking = httpx.Client(timeout=20)
        if join is not None:
            self._join(join, settings)
            return
        self.command(
            *("init", "--company", "Analytical Engines", "--email", EMAIL, "--password-stdin"),
            text=PASSWORD + "\n",
        )
        self.verifier_key = json.loads(
            self.command("verifier", "create", "--label", "tests", "--json").stdout
        )["key"]

    def __enter__(self) -> "Running":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _join(self, other: "Running", settings: dict[str, str]) -> None:
        for name in ("GATEPASS_DATABASE_URL", "GATEPASS_PUBLIC_URL"):
            if name not in settings:
                self.environ[name] = other.environ[name]
        data = Path(self.environ["GATEPASS_DATA_DIR"])
        data.mkdir(mode=0o700)
        key = EncryptionKey(Path(other.environ["GATEPASS_DATA_DIR"]) / FILE_NAME)
        key.create()
        shutil.copy(key.path, data)
        self.verifier_key = other.verifier_key

    def command(
        self, *arguments: str, text: str = "", check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run ``gatepass`` with *arguments* on this installation."""
        done = subprocess.run(
            [sys.executable, "-m", "gatepass.cli", *arguments],
            env=self.environ,
            input=text,
            text=True,
            capture_output=True,
            timeout=60,
        )
        if check:
            assert done.returncode == 0, f"{arguments[:2]}: {done.stderr}"
        return done

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gatepass.cli", "serve"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_ready()

    def wait_ready(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if all(
                    httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
                    for url in (self.url, self.verify_url)
                ):
                    return
            except httpx.TransportError:
                pass
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it as an operator does; the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        """Kill -9 of everything at once, as a power cut of the processes would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        assert self.process is not None
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(pid) for pid in listed.stdout.split()]

    def sign_in(self) -> httpx.Client:
        """A client that is signed in as the administrator."""
        answer = httpx.post(
            f"{self.url}/v1/authentications", json={"email": EMAIL, "password": PASSWORD}
        )
        assert answer.status_code == 201, answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
        return httpx.Client(base_url=self.url, headers=bearer, timeout=20)

    def verify(self, token: str, *, url: str | None = None, **question: Any) -> dict[str, Any]:
        """Ask ``/v1/verify``; on the verify port unless *url* says otherwise."""
        answer = self._asking.post(
            f"{url or self.verify_url}/v1/verify",
            headers={"Authorization": f"Bearer {self.verifier_key}"},
            json={"token": token, **question},
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def new_token(client: httpx.Client, label: str = "a token", **fields: Any) -> dict[str, Any]:
    """Make an access token through the REST API."""
    body = {"label": label, "kind": "api", "permissions": ["charges:*"], **fields}
    answer = client.post("/v1/access-tokens", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
