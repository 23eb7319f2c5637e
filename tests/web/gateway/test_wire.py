"""The endpoints over TCP, byte by byte, on both ports."""

import json
import os
import signal
import socket

import pytest

from gatepass.core.networks import parse_network
from gatepass.settings import Settings
from gatepass.web.body_limits import MOST_BODY_BYTES
from gatepass.web.gateway.verification import VERIFY
from tests.support.apps.gateway_clients import GATEWAY
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Worker, ask, exchange
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.processes

OUTSIDE_ASCII = [b"\xff", b"\x80", b"\xe4", b"\xc3\xa4", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80"]


def request(
    *headers: tuple[bytes, bytes],
    method: bytes = b"GET",
    path: bytes = GATEWAY.encode(),
    version: bytes = b"1.1",
    body: bytes = b"",
) -> bytes:
    """The bytes of a request."""
    lines = [method + b" " + path + b" HTTP/" + version, b"Host: gate"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def usual(
    shared_samples: Samples, token: str = "good", **others: bytes | None
) -> list[tuple[bytes, bytes]]:
    """A gateway's headers; None omits one."""
    headers: dict[str, bytes | None] = {
        "Authorization": b"Bearer " + shared_samples.texts[token].encode(),
        "X-Original-URI": b"/v1/charges/1",
        "X-Original-Method": b"GET",
    }
    headers |= {name.replace("_", "-"): value for name, value in others.items()}
    return [(name.encode(), value) for name, value in headers.items() if value is not None]


def answers(received: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """All answers on one connection."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, name
            headers[name.lower()] = value
        length = int(headers.get("content-length", "0"))
        found.append((int(first.split()[1]), headers, received[:length]))
        received = received[length:]
    return found


CLOSE = (b"Connection", b"close")


def reason_of(port: int, *headers: tuple[bytes, bytes]) -> str:
    """The reason of the only answer."""
    ((status, found, _),) = answers(exchange(port, request(*headers, CLOSE)))
    assert (status == 204) == ("x-gatepass-token" in found)
    return found.get("x-gatepass-reason", "allowed")


@pytest.mark.parametrize("garbage", OUTSIDE_ASCII)
@pytest.mark.parametrize(
    ("header", "token", "reason"),
    [
        ("Authorization", "good", "token_invalid"),
        ("X-Access-Token", "good", "token_invalid"),
        ("X-Forwarded-For", "good", "address_not_allowed"),
        ("X-Forwarded-For", "listed", "address_not_allowed"),
        ("Origin", "ui", "origin_not_allowed"),
        ("Origin", "ui anywhere", "origin_not_allowed"),
        ("Origin", "good", "allowed"),
        ("Referer", "ui", "origin_not_allowed"),
        ("Referer", "good", "allowed"),
        ("X-Original-URI", "good", "path_ambiguous"),
        ("X-Original-Method", "good", "route_unknown"),
        ("X-Something-Else", "good", "allowed"),
    ],
)
def test_a_header_with_bytes_outside_ascii_is_invalid_not_absent(
    shared_samples: Samples, port: int, header: str, token: str, reason: str, garbage: bytes
) -> None:
    """UTF-8 or not; alone, after a valid value, or before it."""
    good = {
        "Authorization": b"Bearer " + shared_samples.texts[token].encode(),
        "X-Access-Token": shared_samples.texts[token].encode(),
        "X-Forwarded-For": b"203.0.113.7",
        "Origin": b"https://shop.example.com",
        "Referer": b"https://shop.example.com/",
        "X-Original-URI": b"/v1/charges/1",
        "X-Original-Method": b"GET",
    }.get(header, b"")
    for value in (garbage, good + garbage, garbage + good):
        assert reason_of(port, *usual(shared_samples, token, **{header: value})) == reason


def test_an_invalid_uri_and_method_have_no_route(shared_samples: Samples, port: int) -> None:
    """One of them invalid and the other missing, too."""
    for uri, method in ((b"/\xff", b"\xff"), (b"/\xff", None), (b"/\xff", b""), (None, b"\xff")):
        headers = usual(shared_samples, X_Original_URI=uri, X_Original_Method=method)
        assert reason_of(port, *headers) == "route_unknown"


def test_an_invalid_line_before_a_valid_one_is_refused(shared_samples: Samples, port: int) -> None:
    token = shared_samples.texts["good"].encode()
    headers = usual(shared_samples, Authorization=None)
    for name, value in ((b"X-Access-Token", token), (b"Authorization", b"Bearer " + token)):
        assert reason_of(port, *headers, (name, b"\xff"), (name, value)) == "token_invalid"
    uri, method = (b"X-Original-URI", b"/v1/charges/1"), (b"X-Original-Method", b"GET")
    headers = usual(shared_samples, X_Original_URI=None, X_Original_Method=None)
    assert reason_of(port, *headers, method, (uri[0], b"\xff"), uri) == "route_unknown"
    assert reason_of(port, *headers, uri, (method[0], b"\xff"), method) == "route_unknown"
    for name in (b"Origin", b"Referer"):
        lines = [(name, b"\xff"), (name, b"https://shop.example.com")]
        assert reason_of(port, *usual(shared_samples, "ui"), *lines) == "origin_not_allowed"


def test_an_invalid_line_after_a_valid_one_is_refused(shared_samples: Samples, port: int) -> None:
    token = shared_samples.texts["good"].encode()
    headers = usual(shared_samples, Authorization=None)
    for name, value in ((b"X-Access-Token", token), (b"Authorization", b"Bearer " + token)):
        assert reason_of(port, *headers, (name, value), (name, b"\xff")) == "token_invalid"
    headers = usual(shared_samples)
    for name in (b"X-Original-URI", b"X-Original-Method"):
        assert reason_of(port, *headers, (name, b"\xff")) == "route_unknown"
    lines = [(b"X-Forwarded-For", b"203.0.113.7"), (b"X-Forwarded-For", b"\xff")]
    assert reason_of(port, *headers, *lines) == "address_not_allowed"
    lines = [(b"Origin", b"https://shop.example.com"), (b"Origin", b"\xff")]
    assert reason_of(port, *usual(shared_samples, "ui"), *lines) == "origin_not_allowed"


def test_an_invalid_line_before_an_empty_one_is_refused(shared_samples: Samples, port: int) -> None:
    headers = usual(shared_samples)
    assert reason_of(port, *headers, (b"X-Access-Token", b"\xff"), (b"X-Access-Token", b"")) == (
        "token_invalid"
    )
    lines = [(b"X-Forwarded-For", b"\xff"), (b"X-Forwarded-For", b"")]
    assert reason_of(port, *headers, *lines) == "address_not_allowed"


def test_forwarding_lines_are_joined_in_order(shared_samples: Samples, port: int) -> None:
    """A proxy may append its own line; earlier entries are untrusted."""
    for before in (b"203.0.113.7", b"\xff", b"", b"unknown", b"203.0.113.7, 10.0.0.1"):
        lines = [(b"X-Forwarded-For", before), (b"X-Forwarded-For", b"198.51.100.1, 10.0.0.2")]
        assert (
            reason_of(port, *usual(shared_samples, "listed"), *lines)
            == "company_address_not_allowed"
        )
        assert reason_of(port, *usual(shared_samples, "good"), *lines) == "allowed"
    lines = [(b"X-Forwarded-For", b"unknown"), (b"X-Forwarded-For", b"10.0.0.2")]
    assert reason_of(port, *usual(shared_samples, "good"), *lines) == "address_not_allowed"


def test_an_undecodable_verifier_key_is_invalid(shared_samples: Samples, port: int) -> None:
    body = b'{"permission": "charges:get"}'
    for name in (b"Authorization", b"X-Access-Token"):
        raw = request(
            (name, b"Bearer \xc3\xa4"),
            (b"Content-Length", str(len(body)).encode()),
            CLOSE,
            method=b"POST",
            path=VERIFY.encode(),
            body=body,
        )
        ((status, headers, content),) = answers(exchange(port, raw))
        assert status == 401
        assert json.loads(content)["reason"] == "token_invalid"
        assert "error=" in headers["www-authenticate"]


def test_pipelined_requests_are_answered_in_order(shared_samples: Samples, port: int) -> None:
    """With and without bodies."""
    body = json.dumps({"token": shared_samples.texts["good"], "permission": "charges:get"}).encode()
    verify = [
        (b"Authorization", b"Bearer " + shared_samples.texts["verifier"].encode()),
        (b"Content-Length", str(len(body)).encode()),
    ]
    raw = b""
    expected = []
    for number in range(12):
        token, reason = [("good", None), ("expired", "token_expired"), ("ui", "origin_missing")][
            number % 3
        ]
        with_body = usual(shared_samples, token, Content_Length=b"5")
        raw += request(*usual(shared_samples, token))
        raw += request(*with_body, body=b"GET /")
        raw += request(*verify, method=b"POST", path=VERIFY.encode(), body=body)
        expected += [reason, reason, "verified"]
    raw += request(*usual(shared_samples), CLOSE)
    found = [
        "verified" if b'"allowed":true' in content else headers.get("x-gatepass-reason")
        for _, headers, content in answers(exchange(port, raw))
    ]
    assert found == [*expected, None]


def test_a_connection_is_kept_alive(shared_samples: Samples, port: int) -> None:
    """As nginx's upstream keepalive uses it."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        for token, status in (("good", 204), ("expired", 401), ("good", 204)) * 5:
            connection.sendall(request(*usual(shared_samples, token)))
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65_536)
            head = received.partition(b"\r\n\r\n")[0]
            length = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
            while length and len(received) < len(head) + 4 + int(length[0].split()[1]):
                received += connection.recv(65_536)
            assert received.startswith(b"HTTP/1.1 %d " % status)


def test_http_1_0_is_answered(shared_samples: Samples, port: int) -> None:
    """nginx uses it by default."""
    for token, status in (("good", 204), ("expired", 401)):
        raw = request(*usual(shared_samples, token), version=b"1.0")
        ((found, _, _),) = answers(exchange(port, raw))
        assert found == status


def test_a_head_request_gets_no_body(shared_samples: Samples, port: int) -> None:
    """A body would be taken for the next answer on the connection."""
    raw = request(*usual(shared_samples, "expired"), method=b"HEAD")
    raw += request(*usual(shared_samples), CLOSE)
    received = exchange(port, raw)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401")
    assert rest.startswith(b"HTTP/1.1 204")


def test_a_body_on_a_get_is_discarded(shared_samples: Samples, port: int) -> None:
    """It changes no answer, and isn't parsed as the next request."""
    smuggled = request(*usual(shared_samples, "good"))
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    for headers, body in (
        ([(b"Content-Length", str(len(smuggled)).encode())], smuggled),
        ([(b"Transfer-Encoding", b"chunked")], chunked),
    ):
        raw = request(*usual(shared_samples, "expired"), *headers, body=body)
        raw += request(*usual(shared_samples, "gone"), CLOSE)
        found = [headers.get("x-gatepass-reason") for _, headers, _ in answers(exchange(port, raw))]
        assert found == ["token_expired", "account_deactivated"]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /authz/nginx HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"GET /authz/nginx HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"GET /authz/nginx HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /authz/nginx HTTP/1.1\r\nHost: a\r\nX-Original-URI : /v1/charges/1\r\n\r\n",
        b"GET /authz/nginx HTTP/1.1\r\nHost: a\r\nX-Original-URI: /v1\r\n /charges/1\r\n\r\n",
        b"GET /authz/nginx HTTP/1.1\r\nHost: a\r\nX-Original-URI: /v1\x00\r\n\r\n",
        b"GET /authz/nginx HTTP/1.1\r\nHost: a\r\nX-Original-URI: /v1\x01/x\r\n\r\n",
        b"GET /authz/nginx\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_an_invalid_request_is_refused(shared_samples: Samples, port: int, raw: bytes) -> None:
    """Or the connection is closed; the worker survives."""
    received = exchange(port, raw, seconds=0.5)
    assert not received.startswith(b"HTTP/1.1 2")
    assert b"x-gatepass-token" not in received.lower()
    assert reason_of(port, *usual(shared_samples)) == "allowed"


def verifying(shared_samples: Samples, *headers: tuple[bytes, bytes]) -> bytes:
    """The head of a question to ``/v1/verify``."""
    key = (b"Authorization", b"Bearer " + shared_samples.texts["verifier"].encode())
    return request(key, *headers, CLOSE, method=b"POST", path=VERIFY.encode())


@pytest.mark.parametrize("size", [MOST_BODY_BYTES, MOST_BODY_BYTES + 1, 3 * MOST_BODY_BYTES])
@pytest.mark.parametrize("chunked", [False, True])
def test_at_most_a_mebibyte_of_body_is_read(
    shared_samples: Samples, port: int, size: int, chunked: bool
) -> None:
    """With and without a Content-Length."""
    body = json.dumps({"token": shared_samples.texts["good"], "permission": "charges:get"}).encode()
    body += b" " * (size - len(body))
    if chunked:
        raw = verifying(shared_samples, (b"Transfer-Encoding", b"chunked"))
        step = 65_536
        for start in range(0, size, step):
            part = body[start : start + step]
            raw += b"%x\r\n%s\r\n" % (len(part), part)
        raw += b"0\r\n\r\n"
    else:
        raw = verifying(shared_samples, (b"Content-Length", str(size).encode())) + body
    received = exchange(port, raw)
    if size <= MOST_BODY_BYTES:
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b'"allowed":true' in received
    else:
        # A client that keeps sending may lose the answer to a connection reset.
        assert received.startswith(b"HTTP/1.1 413 ") or not received
    assert reason_of(port, *usual(shared_samples)) == "allowed"


def test_a_body_that_is_too_large_gets_a_problem_document(
    shared_samples: Samples, port: int
) -> None:
    """A client that waits for the answer receives it."""
    raw = verifying(shared_samples, (b"Transfer-Encoding", b"chunked"))
    part = b"%x\r\n%s\r\n" % (MOST_BODY_BYTES + 1, b" " * (MOST_BODY_BYTES + 1))
    ((status, headers, content),) = answers(exchange(port, raw, part))
    assert status == 413
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(content)["reason"] == "body_too_large"


def test_a_body_in_small_pieces_is_joined(shared_samples: Samples, port: int) -> None:
    body = json.dumps({"token": shared_samples.texts["good"], "permission": "charges:get"}).encode()
    head = verifying(shared_samples, (b"Content-Length", str(len(body)).encode()))
    pieces = [body[at : at + 10] for at in range(0, len(body), 10)]
    received = exchange(port, head, *pieces, pause=0.005)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b'"allowed":true' in received


def test_an_incomplete_body_disturbs_no_other_request(shared_samples: Samples, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            verifying(shared_samples, (b"Content-Length", b"1000")) + b'{"permission": '
        )
        assert reason_of(port, *usual(shared_samples)) == "allowed"
    assert reason_of(port, *usual(shared_samples)) == "allowed"


def test_a_request_shorter_than_its_length_gets_no_decision(
    shared_samples: Samples, port: int
) -> None:
    """The part may be valid JSON, and still not what the client meant."""
    body = json.dumps({"token": shared_samples.texts["good"], "permission": "charges:get"}).encode()
    length = str(len(body) + 1).encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(verifying(shared_samples, (b"Content-Length", length)) + body)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65_536):
            received += part
    assert b"allowed" not in received
    assert not received.startswith(b"HTTP/1.1 200 ")


def test_slow_clients_delay_no_other(shared_samples: Samples, port: int) -> None:
    """200 connections with half a request each."""
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for connection in idle:
        connection.sendall(b"GET /authz/nginx HTTP/1.1\r\nX-Original-URI: /v1")
    for _ in range(10):
        assert reason_of(port, *usual(shared_samples)) == "allowed"
    for connection in idle:
        connection.close()


def test_a_header_of_eight_kilobytes_is_never_allowed(shared_samples: Samples, port: int) -> None:
    for name in ("X_Forwarded_For", "Origin", "Referer", "X_Original_URI", "Authorization"):
        for filling in (b"127.0.0.1,", b"a.", b"/%61", b"%", b" ", b","):
            value = (filling * 4_000)[:8_000] + b"x"
            raw = request(*usual(shared_samples, "ui", **{name: value}), CLOSE)
            received = exchange(port, raw)
            assert received.startswith((b"HTTP/1.1 401", b"HTTP/1.1 403", b"HTTP/1.1 431"))


def test_too_many_headers_are_431(shared_samples: Samples, port: int) -> None:
    """So a gateway must not forward them."""
    many = [(f"X-{number}".encode(), b"x") for number in range(150)]
    received = exchange(port, request(*usual(shared_samples), *many, CLOSE))
    assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")


@pytest.mark.parametrize("role", ["verify", "main"])
def test_a_gateways_misconfiguration_is_logged_once(
    shared_samples: Samples, chosen: Settings, role: str
) -> None:
    """In the process that answered."""
    worker = Worker(role, chosen)
    for _ in range(3):
        reason_of(worker.port, *usual(shared_samples, X_Original_URI=None))
        reason_of(worker.port, *usual(shared_samples, X_Forwarded_For=b"nonsense\xff"))
    log = worker.stop()
    assert log.count("doesn't send 'X-Original-URI'") == 1
    assert log.count("sends an X-Forwarded-For that can't be read") == 1
    assert "nonsense" not in log


@pytest.mark.parametrize(
    "path", ["/authz", "/authz/", "/authz/nginx/", "/authz/traefik", "/authz/nginx/x"]
)
def test_unknown_paths_for_gateways_are_404(shared_samples: Samples, port: int, path: str) -> None:
    """A gateway would take 2xx for "allowed"."""
    headers = [(name.decode(), value) for name, value in usual(shared_samples)]
    answer = ask(port, "GET", path, headers)
    if path == "/authz" and answer.status == 418:
        return  # answered by the main port's application
    assert answer.status == 404
    assert answer.json["reason"] == "not_found"
    assert answer.header("x-gatepass-token") is None


@pytest.mark.parametrize(
    "path", ["/", "/v1/me", "/v1/verify/", "/v1/access-tokens", "/sign-in", "/metrics", "/health"]
)
def test_the_verify_port_serves_no_pages_and_no_other_api(
    shared_samples: Samples, verify_port: int, path: str
) -> None:
    answer = ask(
        verify_port, "GET", path, [("Authorization", "Bearer " + shared_samples.texts["login"])]
    )
    assert answer.status == 404
    assert answer.header("content-type") == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/v1/me", "/v1/verify/", "/health", "/authz"])
def test_the_main_port_passes_other_paths_to_the_application(main_port: int, path: str) -> None:
    assert ask(main_port, "GET", path).status == 418


@pytest.mark.parametrize(
    "path",
    [
        *(b"/%61uthz/nginx", b"/authz%2fnginx", b"/authz%2Fnginx", b"/auth%7A/nginx"),
        *(b"/authz/ngin%78", b"/%61%75%74%68%7a/%6e%67%69%6e%78", b"/authz/%6Eginx?x=/authz/nginx"),
    ],
)
def test_an_escaped_gateway_path_is_404(shared_samples: Samples, port: int, path: bytes) -> None:
    """A proxy that denies /authz/ may compare the raw path."""
    sent = exchange(port, request(*usual(shared_samples), CLOSE, path=path))
    ((status, _, _),) = answers(sent)
    assert status == 404


@pytest.mark.parametrize(
    "path", ["/%76%31/verify", "/v1%2fverify", "/v1/verif%79", "/health%2flive", "/healt%68/ready"]
)
def test_escaped_paths_of_services_and_probes_are_404(port: int, path: str) -> None:
    assert ask(port, "POST" if "v1" in path else "GET", path).status == 404


def test_other_methods_are_405_with_the_allowed_ones(shared_samples: Samples, port: int) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        answer = ask(port, method, VERIFY, [("Authorization", shared_samples.texts["verifier"])])
        assert (answer.status, answer.header("allow")) == (405, "POST")
    for path in ("/health/live", "/health/ready"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = ask(port, method, path)
            assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


def test_health_needs_no_credential(port: int) -> None:
    for path, status in (("/health/live", "live"), ("/health/ready", "ready")):
        answer = ask(port, "GET", path)
        assert (answer.status, answer.json) == (200, {"status": status})
        assert answer.header("cache-control") == "no-store"
        answer = ask(port, "HEAD", path)
        assert (answer.status, answer.body) == (200, b"")


def test_a_worker_without_trusted_proxies_answers_no_gateway(
    shared_samples: Samples, chosen: Settings
) -> None:
    with Worker("verify", chosen.with_(trusted_proxies=())) as worker:
        headers = [(name.decode(), value) for name, value in usual(shared_samples)]
        answer = ask(worker.port, "GET", GATEWAY, headers)
        assert (answer.status, answer.header("x-gatepass-reason")) == (403, "peer_not_trusted")


@pytest.mark.parametrize("role", ["verify", "main"])
def test_a_peer_may_have_an_ipv6_address(
    shared_samples: Samples, chosen: Settings, role: str
) -> None:
    """A trusted one may forward addresses."""
    loopback = (parse_network("::1/128"),)
    with Worker(role, chosen.with_(host="::1", trusted_proxies=loopback)) as worker:
        for forwarded, status in ((b"203.0.113.7", 204), (b"198.51.100.1", 403)):
            sent = usual(shared_samples, "listed", X_Forwarded_For=forwarded)
            headers = [(name.decode(), value) for name, value in sent]
            assert ask(worker.port, "GET", GATEWAY, headers, host="::1").status == status


def test_no_secret_is_logged(shared_samples: Samples, chosen: Settings) -> None:
    """Neither a credential nor a setting's password, whatever the request."""
    password = "hunter2secret"
    settings = chosen.with_(smtp_url=f"smtp://gate:{password}@mail:25")
    for role in ("verify", "main"):
        worker = Worker(role, settings)
        try:
            for token in shared_samples.texts:
                exchange(worker.port, request(*usual(shared_samples, token), CLOSE))
            for body in (
                b"{",
                b"[]",
                b'{"token": "' + shared_samples.texts["good"].encode() + b'", "x": 1}',
            ):
                length = (b"Content-Length", str(len(body)).encode())
                exchange(worker.port, verifying(shared_samples, length) + body)
            exchange(worker.port, usual(shared_samples)[0][1] + b"\r\n\r\n", seconds=0.3)
            os.kill(worker.process.pid, signal.SIGTERM)
        finally:
            logged = worker.stop()
        assert password not in logged
        for text in filter(None, shared_samples.texts.values()):
            assert text[21:] not in logged


@pytest.mark.parametrize("path", [GATEWAY, "/health/live", "/nowhere"])
def test_behind_a_body_that_may_not_come_nothing_is_read(
    shared_samples: Samples, verify_port: int, path: str
) -> None:
    """A client that waits with its body (Expect) may send another request in its place."""
    hidden = request(*usual(shared_samples))
    waiting = ((b"Expect", b"100-continue"), (b"Content-Length", b"%d" % len(hidden)))
    raw = request(*usual(shared_samples), *waiting, path=path.encode())
    ((_, headers, _),) = answers(exchange(verify_port, raw, hidden, hidden))
    assert headers["connection"] == "close"


def test_an_absolute_target_is_answered(port: int, shared_samples: Samples) -> None:
    """As RFC 9112, 3.2.2 requires."""
    headers = [
        ("Authorization", "Bearer " + shared_samples.texts["good"]),
        ("X-Original-URI", "/v1/charges/1"),
        ("X-Original-Method", "GET"),
    ]
    assert ask(port, "GET", f"http://gate{GATEWAY}", headers).status == 204
    assert ask(port, "GET", "http://gate/health/live", []).status == 200
    assert ask(port, "GET", "http://gate", []).status in (404, 418)


def test_a_body_is_not_asked_for_without_a_valid_key(port: int) -> None:
    head = b"POST %s HTTP/1.1\r\nHost: gate\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    assert exchange(port, head % VERIFY.encode()).startswith(b"HTTP/1.1 401 ")
