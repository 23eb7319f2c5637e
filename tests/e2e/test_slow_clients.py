"""Slow clients, clients that send much before they are authenticated, and clients that don't read
their answers."""

import json
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.apps.installation import PASSWORD
from tests.support.processes.served_installation import EMAIL, ServedInstallation, new_token

#: The time limit of a body, plus a margin for a busy machine.
PATIENCE_S = 60.0
MIB = 1 << 20
#: The attackers' address; all others use 127.0.0.1.
ELSEWHERE = "127.0.0.2"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedInstallation]:
    with ServedInstallation(tmp_path_factory.mktemp("served"), GATEPASS_WORKERS="1") as served:
        yield served


def head(method: str, path: str, length: int, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: gatepass", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def send(port: int, *parts: bytes, source: str = "127.0.0.1") -> socket.socket:
    """Open a connection and send *parts*, as far as the server reads them."""
    connection = socket.create_connection(
        ("127.0.0.1", port), timeout=5, source_address=(source, 0)
    )
    try:
        for part in parts:
            connection.sendall(part)
    except OSError:
        pass
    return connection


def ended(connections: Sequence[socket.socket]) -> list[bytes]:
    """The answers on all connections, once the server has closed them."""
    received = dict.fromkeys(connections, b"")
    open_ = set(connections)
    deadline = time.monotonic() + PATIENCE_S
    while open_:
        left = deadline - time.monotonic()
        assert left > 0, f"{len(open_)} of {len(connections)} connections are never closed"
        for connection in select.select(list(open_), [], [], left)[0]:
            try:
                part = connection.recv(65_536)
            except OSError:
                part = b""
            received[connection] += part
            if not part:
                open_.remove(connection)
                connection.close()
    return [received[connection] for connection in connections]


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


def test_an_incomplete_body_times_out(served: ServedInstallation) -> None:
    """On both ports, authenticated or not; the worker answers others meanwhile."""
    key = f"Authorization: Bearer {served.verifier_key}"
    login = served.sign_in().headers["Authorization"]
    form = "Content-Type: application/x-www-form-urlencoded"
    connections = [
        send(port, head("POST", path, length, *more), b"{")
        for port, path, length, more in (
            (served.verify_port, "/v1/verify", MIB, (key,)),
            (served.port, "/v1/verify", MIB, (key,)),
            (served.port, "/v1/feed/use", MIB, (key,)),
            (served.port, "/v1/authentications", 4_000, ()),
            (served.port, "/v1/invitations/accept", 4_000, ()),
            (served.port, "/v1/access-tokens", MIB, (f"Authorization: {login}",)),
            (served.port, "/sign-in", 4_000, (form,)),
            (served.port, "/password-resets", 4_000, (form,)),
        )
        for _ in range(5)
    ]
    assert served.verify("gpat_", permission="charges:get")["reason"] == "token_invalid"
    assert [status(answer) for answer in ended(connections)] == [408] * len(connections)


def test_a_missing_credential_is_refused_before_the_body_is_read(
    served: ServedInstallation,
) -> None:
    """The body is announced but never sent."""
    asked = [
        (served.verify_port, "POST", "/v1/verify"),
        (served.port, "POST", "/v1/verify"),
        (served.port, "POST", "/v1/feed/use"),
        (served.port, "POST", "/v1/feed/acknowledgement"),
        (served.port, "POST", "/v1/access-tokens"),
        (served.port, "PATCH", "/v1/access-tokens/gpat_0000000000000000"),
        (served.port, "PUT", "/v1/company/allowlist"),
        (served.port, "POST", "/v1/invitations"),
        (served.port, "POST", "/v1/roles"),
        (served.port, "PATCH", "/v1/users/user_0"),
        (served.port, "POST", "/v1/sign-out"),
    ]
    for announced in (4_000, MIB):
        connections = [send(port, head(method, path, announced)) for port, method, path in asked]
        for connection, (_, method, path) in zip(connections, asked, strict=True):
            with connection:
                received = connection.recv(65_536)
            assert status(received) == 401, (method, path)


def test_bodies_without_credentials_fill_no_memory(served: ServedInstallation) -> None:
    """Sixty connections send a mebibyte each, to every endpoint that reads a body."""
    before = {pid: memory(pid) for pid in served.workers()}
    part = b"x" * 900_000
    connections = [
        send(port, head("POST", path, MIB - 1), part)
        for port, path in (
            (served.verify_port, "/v1/verify"),
            (served.port, "/v1/verify"),
            (served.port, "/v1/authentications"),
            (served.port, "/v1/access-tokens"),
            (served.port, "/sign-in"),
            (served.port, "/access-tokens/new"),
        )
        for _ in range(10)
    ]
    grown = [memory(pid) - was for pid, was in before.items()]
    answers = ended(connections)
    # A client that keeps sending may lose the answer to a connection reset.
    assert {status(answer) for answer in answers} <= {0, 401, 413}
    assert max(grown) < 20 * MIB


def sign_in_page(served: ServedInstallation) -> int:
    """Sign in at the form; the status."""
    form = {"email": EMAIL, "password": PASSWORD}
    return httpx.post(
        f"{served.url}/sign-in", data=form, headers={"Origin": served.url}
    ).status_code


@pytest.mark.parametrize("credential", ["ui", "ui at home", "deactivated", "signed out", "login"])
def test_no_credential_uses_up_the_body_memory_of_others(
    served: ServedInstallation, credential: str
) -> None:
    """64 incomplete bodies of nearly a mebibyte each, with one credential that is valid, or refused
    although its secret matches."""
    ada, headers = served.sign_in(), []
    if credential == "login":
        headers = [f"Authorization: {served.sign_in().headers['Authorization']}"]
    elif credential == "signed out":
        other = served.sign_in()
        assert other.post("/v1/sign-out").status_code == 204
        headers = [f"Authorization: {other.headers['Authorization']}"]
    else:
        ui = {"kind": "ui", "domains": ["shop.example"]} if "ui" in credential else {}
        token = new_token(ada, **ui)
        headers = [f"Authorization: Bearer {token['token']}"]
        if credential == "ui at home":
            headers.append("Origin: https://shop.example")
        if credential == "deactivated":
            ended = ada.post(f"/v1/access-tokens/{token['id']}/deactivate", json={})
            assert ended.status_code == 200, ended.text
    headers.append("Content-Type: application/x-www-form-urlencoded")
    part = b"x" * (MIB - 1_000)
    with ExitStack() as held:
        for _ in range(66):
            whole = head("POST", "/sign-in", len(part) + 1, *headers)
            held.enter_context(send(served.port, whole, part, source=ELSEWHERE))
        assert sign_in_page(served) == 303
        assert served.sign_in().get("/v1/me").status_code == 200
        new_token(ada, "x" * 100)
        question = {"permission": "charges:get"}
        assert served.verify("gpat_", url=served.url, **question)["reason"] == "token_invalid"


def test_no_address_uses_up_the_body_memory_of_others_or_of_sign_ins(
    served: ServedInstallation,
) -> None:
    """160 incomplete forms of 16 KiB from one address, whose share is 128."""
    form = "Content-Type: application/x-www-form-urlencoded"
    whole = head("POST", "/sign-in", 16_384, form)
    with ExitStack() as held:
        connections = [
            held.enter_context(send(served.port, whole, b"x" * 16_300, source=ELSEWHERE))
            for _ in range(160)
        ]
        answers = [c.recv(65_536) for c in select.select(connections, [], [], PATIENCE_S)[0]]
        assert {status(answer) for answer in answers} == {503}
        assert all(b"\r\nretry-after: 1\r\n" in answer.lower() for answer in answers)
        large = {"token": "x" * 15_000}
        assert httpx.post(f"{served.url}/v1/invitations/accept", json=large).status_code == 422
        assert sign_in_page(served) == 303
        with httpx.Client(transport=httpx.HTTPTransport(local_address=ELSEWHERE)) as there:
            who = {"email": EMAIL, "password": PASSWORD}
            assert there.post(f"{served.url}/v1/authentications", json=who).status_code == 201


def test_an_oversized_head_is_refused(served: ServedInstallation) -> None:
    """Header lines, one line, or a path of hundreds of kilobytes."""
    for port in (served.port, served.verify_port):
        for start in (b"GET / HTTP/1.1\r\nA: ", b"GET /", b"GET / HTTP/1.1\r\n"):
            filling = b"x" * 300_000 if not start.endswith(b"\n") else b"A: b\r\n" * 50_000
            (answer,) = ended([send(port, start, filling)])
            assert status(answer) in (0, 400, 414, 431)


def test_a_refused_client_that_keeps_sending_can_read_the_answer(
    served: ServedInstallation,
) -> None:
    """Resetting the connection because of the unread body would lose the answer."""
    body = json.dumps({"permission": "charges:get", "token": "x" * 30_000}).encode()
    for port in (served.port, served.verify_port):
        for path in ("/v1/verify", "/v1/access-tokens"):
            connection = send(port, head("POST", path, len(body)))
            for start in range(0, len(body), 1_000):
                connection.sendall(body[start : start + 1_000])
            with connection:
                assert status(connection.recv(65_536)) == (
                    404 if (port, path) == (served.verify_port, "/v1/access-tokens") else 401
                )


def test_a_stop_does_not_wait_for_slow_clients(tmp_path: Path) -> None:
    """Half a body and an unread answer still allow a clean stop."""
    with ServedInstallation(tmp_path, GATEPASS_WORKERS="1") as served:
        key = f"Authorization: Bearer {served.verifier_key}"
        half = send(served.verify_port, head("POST", "/v1/verify", MIB, key), b"{")
        unread = [
            send(served.port, b"GET /v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
            for _ in range(2)
        ]
        assert served.stop() == 0
        assert "killing" not in served.log.read_text()
        for connection in (half, *unread):
            connection.close()
