"""What the connections of a verify port share."""

import re
import socket

import pytest

from gatepass.settings import Settings
from gatepass.web.gateway.connection import Port
from gatepass.web.gateway.endpoints import Endpoints
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.ports import free_port
from tests.support.processes.workers import Worker, ask
from tests.support.waiting import LIMIT_S


def test_a_strangers_spellings_leave_room_for_those_of_gateways(endpoints: Endpoints) -> None:
    port = Port(endpoints)
    for number in range(2_000):
        port.kind(f"X-{number}".encode())
    assert len(port.kinds) <= 512
    for name in (b"X-Original-URI", b"X-Original-Method", b"Authorization", b"x-forwarded-for"):
        assert name in port.kinds


@pytest.mark.processes
def test_the_access_log_names_a_refused_token_whose_secret_matched(
    chosen: Settings, shared_samples: Samples
) -> None:
    cases = (
        ("good", "permission_missing"),
        # The same refusal as the one before.
        ("wide", "permission_missing"),
        # A remembered answer.
        ("good", "permission_missing"),
        ("wrong secret", "token_invalid"),
    )
    call = [("X-Original-URI", "/v1/charges/1/refund"), ("X-Original-Method", "POST")]
    worker = Worker("verify", chosen.with_(access_log=True))
    try:
        for name, _ in cases:
            bearer = ("Authorization", f"Bearer {shared_samples.texts[name]}")
            answer = ask(worker.port, "GET", "/authz/nginx", [bearer, *call])
            assert shared_samples.grants["good"].id not in str(answer)
    finally:
        logged = [line for line in worker.stop().splitlines() if "/authz/nginx" in line]
    for line, (name, reason) in zip(logged, cases, strict=True):
        grant = shared_samples.grants.get(name)
        named = "" if grant is None else f" token={grant.id}"
        assert line.endswith(f"{named} reason={reason}")
        assert ("token=" in line) == (grant is not None)


@pytest.mark.processes
@pytest.mark.parametrize("where", ["verify port", "main port", "metrics port"])
def test_the_access_log_has_a_line_for_each_request(chosen: Settings, where: str) -> None:
    settings = chosen.with_(access_log=True, metrics_port=free_port())
    worker = Worker("verify" if where == "verify port" else "main", settings)
    port = settings.metrics_port if where == "metrics port" else worker.port
    known = b"Host: a\r\nX-Request-ID: abc-1\r\nX-Forwarded-For: 203.0.113.7\r\n"
    try:
        for head in (
            b"BREW /v1/me?q=secret HTTP/1.1\r\n" + known,
            b"GET /v1/me HTTP/1.1\r\nX-Request-ID: abc-2\r\n",
            b"GET /v1/me HTTP/1.1\r\n" + known + b"X-A: \0\r\n",
            b"HEAD /v1/me HTTP/2.0\r\n" + known,
        ):
            with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
                client.sendall(head + b"\r\n")
                answer = b"".join(iter(lambda client=client: client.recv(65_536), b""))
            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
            assert b"\r\nx-request-id: " in answer
        # Beside those: a path that the port doesn't have.
        ask(port, "GET", "/nothing", [])
    finally:
        log = worker.stop()
    found = [line.partition(": ")[2] for line in log.splitlines() if " ms " in line]
    far = "address=203.0.113.7 request_id=abc-1"
    patterns = (
        # llhttp stops at the method.
        r"- - 400 0\.0 ms address=127\.0\.0\.1 request_id=[0-9a-f]{16} reason=bad_request",
        r"GET /v1/me 400 [0-9.]+ ms address=127\.0\.0\.1 request_id=abc-2 reason=bad_request",
        rf"- /v1/me 400 0\.0 ms {far} reason=bad_request",
        rf"HEAD /v1/me 505 [0-9.]+ ms {far} reason=http_version_not_supported",
        r"GET /nothing (?:404|418) .+",
    )
    for pattern, line in zip(patterns, found, strict=True):
        assert re.fullmatch(pattern, line), line
