"""An installation as an operator runs it: ``gatepass init`` and ``gatepass serve``."""

import atexit
import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from gatepass.registry.authentication.encryption import FILE_NAME, EncryptionKey
from tests.support.apps.installation import PASSWORD
from tests.support.processes.served_node import ServedNode
from tests.support.waiting import LIMIT_S

EMAIL = "ada@example.com"
CATALOGUE = """
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get:    {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
  charges:search: {title: "List charges", routes: ["GET /v1/charges"]}
"""


class ServedInstallation(ServedNode):
    """A served installation; a context manager that stops it.

    Args:
        new: run the commands that create it also on SQLite, where a copy takes less time.
        join: an installation on PostgreSQL; this becomes another node of it, with the same
            database, encryption key and public URL, and its own data directory and ports.

    Attributes:
        verifier_key: a verifier key's text.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str | None = None,
        join: "ServedInstallation | None" = None,
        new: bool = False,
        **settings: str,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        catalogue = directory / "catalogue.yaml"
        catalogue.write_text(CATALOGUE)
        if database_url is not None:
            settings["GATEPASS_DATABASE_URL"] = database_url
        super().__init__(directory / "data", directory / "serve.log", catalogue, settings)
        self._asking = httpx.Client()
        if join is not None:
            self._join(join, settings)
        elif new or database_url is not None:
            self._create()
        else:
            data, self.verifier_key = _created()
            shutil.copytree(data, self.data)

    def __enter__(self) -> "ServedInstallation":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _create(self) -> None:
        self.command(
            *("init", "--company", "Analytical Engines", "--email", EMAIL, "--password-stdin"),
            text=PASSWORD + "\n",
        )
        self.verifier_key = json.loads(
            self.command("verifier", "create", "--label", "tests", "--json").stdout
        )["key"]

    def _join(self, other: "ServedInstallation", settings: dict[str, str]) -> None:
        for name in ("GATEPASS_DATABASE_URL", "GATEPASS_PUBLIC_URL"):
            if name not in settings:
                self.environ[name] = other.environ[name]
        self.data.mkdir(mode=0o700)
        key = EncryptionKey(other.data / FILE_NAME)
        key.create()
        shutil.copy(key.path, self.data)
        self.verifier_key = other.verifier_key

    def command(
        self, *arguments: str, text: str = "", check: bool = True, module: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run a ``gatepass`` command on this installation."""
        done = subprocess.run(
            [sys.executable, "-m", module or self.module, *arguments],
            env=self.environ,
            input=text,
            text=True,
            capture_output=True,
            timeout=LIMIT_S,
        )
        if check:
            assert done.returncode == 0, f"{arguments[:2]}: {done.stderr}"
        return done

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        super().start()
        self.wait_ready()

    def sign_in(self) -> httpx.Client:
        """A client signed in as the administrator."""
        answer = httpx.post(
            f"{self.url}/v1/authentications", json={"email": EMAIL, "password": PASSWORD}
        )
        assert answer.status_code == 201, answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
        return httpx.Client(base_url=self.url, headers=bearer)

    def metrics(self) -> str:
        """What one of the workers says at ``/metrics``."""
        answer = httpx.get(f"{self.url}/metrics")
        assert answer.status_code == 200, answer.text
        return answer.text

    def verify(self, token: str, *, url: str | None = None, **question: Any) -> dict[str, Any]:
        """Ask ``/v1/verify``, by default on the verify port."""
        answer = self._asking.post(
            f"{url or self.verify_url}/v1/verify",
            headers={"Authorization": f"Bearer {self.verifier_key}"},
            json={"token": token, **question},
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@functools.cache
def _created() -> tuple[Path, str]:
    """The data directory of an installation on SQLite that never ran, and its verifier key."""
    directory = Path(tempfile.mkdtemp(prefix="gatepass-created-"))
    atexit.register(shutil.rmtree, directory)
    made = ServedInstallation(directory, new=True)
    return made.data, made.verifier_key


def new_token(client: httpx.Client, label: str = "a token", **fields: Any) -> dict[str, Any]:
    """Create an access token through the REST API."""
    body = {"label": label, "kind": "api", "permissions": ["charges:*"], **fields}
    answer = client.post("/v1/access-tokens", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
