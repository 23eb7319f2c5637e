"""The endpoints over a Unix socket, whose peers have no address and count as trusted."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.settings import Settings
from gatepass.web.gateway.verification import VERIFY
from gatepass.web.http.server import unix_listener
from tests.support.apps.gateway_clients import GATEWAY
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Worker
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.processes


class OverSocket(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("gate", timeout=LIMIT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(str(self._path))


@pytest.fixture(scope="module")
def path(
    shared_samples: Samples, chosen: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A worker's socket; over TCP the worker trusts nobody."""
    path = tmp_path_factory.mktemp("socket") / "verify.sock"
    with (
        unix_listener(path) as shared,
        Worker("verify", chosen.with_(trusted_proxies=()), listening=shared),
    ):
        yield path


def ask(
    path: Path, method: str, target: str, headers: dict[str, str], body: bytes | None = None
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = OverSocket(path)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("token", "forwarded", "reason"),
    [
        ("good", None, None),
        ("good", "203.0.113.7", None),
        ("listed", "203.0.113.7", None),
        ("listed", "198.51.100.7", "company_address_not_allowed"),
        # Without the header there is no address, and so none that a list contains.
        ("listed", None, "company_address_not_allowed"),
        ("networked", None, "address_not_allowed"),
        ("good", "nonsense", "address_not_allowed"),
        ("unknown", None, "token_invalid"),
    ],
)
def test_the_peer_is_trusted_and_has_no_address(
    shared_samples: Samples, path: Path, token: str, forwarded: str | None, reason: str | None
) -> None:
    headers = {
        "Authorization": "Bearer " + shared_samples.texts[token],
        "X-Original-URI": "/v1/charges/1",
        "X-Original-Method": "GET",
    }
    if forwarded is not None:
        headers["X-Forwarded-For"] = forwarded
    for _ in range(2):
        status, found, _ = ask(path, "GET", GATEWAY, headers)
        assert found["X-Gatepass-Reason"] == reason
        assert (status == 204) == (reason is None)


def test_services_and_probes(shared_samples: Samples, path: Path) -> None:
    body = json.dumps({"token": shared_samples.texts["good"], "permission": "charges:get"})
    headers = {"Authorization": "Bearer " + shared_samples.texts["verifier"]}
    status, _, content = ask(path, "POST", VERIFY, headers, body.encode())
    assert (status, json.loads(content)["allowed"]) == (200, True)
    assert ask(path, "GET", "/health/ready", {})[0] == 200
    assert ask(path, "POST", VERIFY, {}, body.encode())[0] == 401
