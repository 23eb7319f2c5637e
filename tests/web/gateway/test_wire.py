"""The endpoints over the wire, byte by byte, on both ports."""

import json
import os
import signal
import socket

import pytest

from gatepass.core.networks import parse_network
from gatepass.settings import Settings
from gatepass.web.body_limits import MOST_BODY_BYTES
from gatepass.web.gateway.endpoints import GATEWAY, VERIFY
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Worker, ask, exchange

pytestmark = pytest.mark.processes

OUTSIDE_ASCII = [b"\xff", b"\x80", b"\xe4", b"\xc3\xa4", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80"]


def request(
    *headers: tuple[bytes, bytes],
    method: bytes = b"GET",
    path: bytes = GATEWAY.encode(),
    version: bytes = b"1.1",
    body: bytes = b"",
) -> bytes:
    """One request as it goes over the wire."""
    lines = [method + b" " + path + b" HTTP/" + version, b"Host: gate"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def usual(cast: Samples, token: str = "good", **others: bytes | None) -> list[tuple[bytes, bytes]]:
    """The headers a gateway sends; None leaves one out."""
    headers: dict[str, bytes | None] = {
        "Authorization": b"Bearer " + cast.texts[token].encode(),
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
    """The reason of the one answer."""
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
def test_bytes_outside_ascii_are_garbage_and_never_absent(
    cast: Samples, port: int, header: str, token: str, reason: str, garbage: bytes
) -> None:
    """UTF-8 or not, alone, at the end of something good, or at its beginning."""
    good = {
        "Authorization": b"Bearer " + cast.texts[token].encode(),
        "X-Access-Token": cast.texts[token].encode(),
        "X-Forwarded-For": b"203.0.113.7",
        "Origin": b"https://shop.example.com",
        "Referer": b"https://shop.example.com/",
        "X-Original-URI": b"/v1/charges/1",
        "X-Original-Method": b"GET",
    }.get(header, b"")
    for value in (garbage, good + garbage, garbage + good):
        assert reason_of(port, *usual(cast, token, **{header: value})) == reason


def test_garbage_in_both_uri_and_method_is_no_route(cast: Samples, port: int) -> None:
    """And neither is one of them together with none of the other."""
    for uri, method in ((b"/\xff", b"\xff"), (b"/\xff", None), (b"/\xff", b""), (None, b"\xff")):
        headers = usual(cast, X_Original_URI=uri, X_Original_Method=method)
        assert reason_of(port, *headers) == "route_unknown"


def test_garbage_before_something_good_is_seen(cast: Samples, port: int) -> None:
    """A line that can't be read isn't passed over in favour of the next one."""
    token = cast.texts["good"].encode()
    headers = usual(cast, Authorization=None)
    for name, value in ((b"X-Access-Token", token), (b"Authorization", b"Bearer " + token)):
        assert reason_of(port, *headers, (name, b"\xff"), (name, value)) == "token_invalid"
    uri, method = (b"X-Original-URI", b"/v1/charges/1"), (b"X-Original-Method", b"GET")
    headers = usual(cast, X_Original_URI=None, X_Original_Method=None)
    assert reason_of(port, *headers, method, (uri[0], b"\xff"), uri) == "route_unknown"
    assert reason_of(port, *headers, uri, (method[0], b"\xff"), method) == "route_unknown"
    for name in (b"Origin", b"Referer"):
        lines = [(name, b"\xff"), (name, b"https://shop.example.com")]
        assert reason_of(port, *usual(cast, "ui"), *lines) == "origin_not_allowed"


def test_garbage_before_an_empty_line_is_seen(cast: Samples, port: int) -> None:
    """Nor in favour of nothing."""
    headers = usual(cast)
    assert reason_of(port, *headers, (b"X-Access-Token", b"\xff"), (b"X-Access-Token", b"")) == (
        "token_invalid"
    )
    lines = [(b"X-Forwarded-For", b"\xff"), (b"X-Forwarded-For", b"")]
    assert reason_of(port, *headers, *lines) == "address_not_allowed"


def test_forwarding_lines_are_joined_in_order(cast: Samples, port: int) -> None:
    """Proxies may append a line of their own; whatever stands before it never counts."""
    for before in (b"203.0.113.7", b"\xff", b"", b"unknown", b"203.0.113.7, 10.0.0.1"):
        lines = [(b"X-Forwarded-For", before), (b"X-Forwarded-For", b"198.51.100.1, 10.0.0.2")]
        assert reason_of(port, *usual(cast, "listed"), *lines) == "company_address_not_allowed"
        assert reason_of(port, *usual(cast, "good"), *lines) == "allowed"
    lines = [(b"X-Forwarded-For", b"unknown"), (b"X-Forwarded-For", b"10.0.0.2")]
    assert reason_of(port, *usual(cast, "good"), *lines) == "address_not_allowed"


def test_garbage_for_a_verifier_key(cast: Samples, port: int) -> None:
    """At the other endpoint too."""
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


def test_many_requests_in_one_go(cast: Samples, port: int) -> None:
    """Pipelined, with and without bodies: as many answers, each to its own question, in order."""
    body = json.dumps({"token": cast.texts["good"], "permission": "charges:get"}).encode()
    verify = [
        (b"Authorization", b"Bearer " + cast.texts["verifier"].encode()),
        (b"Content-Length", str(len(body)).encode()),
    ]
    raw = b""
    expected = []
    for number in range(12):
        token, reason = [("good", None), ("expired", "token_expired"), ("ui", "origin_missing")][
            number % 3
        ]
        with_body = usual(cast, token, Content_Length=b"5")
        raw += request(*usual(cast, token))
        raw += request(*with_body, body=b"GET /")
        raw += request(*verify, method=b"POST", path=VERIFY.encode(), body=body)
        expected += [reason, reason, "verified"]
    raw += request(*usual(cast), CLOSE)
    found = [
        "verified" if b'"allowed":true' in content else headers.get("x-gatepass-reason")
        for _, headers, content in answers(exchange(port, raw))
    ]
    assert found == [*expected, None]


def test_a_connection_is_kept_alive(cast: Samples, port: int) -> None:
    """One after the other on one connection, as nginx's upstream keepalive does."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
        for token, status in (("good", 204), ("expired", 401), ("good", 204)) * 5:
            connection.sendall(request(*usual(cast, token)))
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65_536)
            head = received.partition(b"\r\n\r\n")[0]
            length = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
            while length and len(received) < len(head) + 4 + int(length[0].split()[1]):
                received += connection.recv(65_536)
            assert received.startswith(b"HTTP/1.1 %d " % status)


def test_http_1_0(cast: Samples, port: int) -> None:
    """nginx asks by it unless it is told otherwise."""
    for token, status in (("good", 204), ("expired", 401)):
        raw = request(*usual(cast, token), version=b"1.0")
        ((found, _, _),) = answers(exchange(port, raw))
        assert found == status


def test_a_head_request_gets_no_body(cast: Samples, port: int) -> None:
    """Or the next answer on the connection would be read wrongly."""
    raw = request(*usual(cast, "expired"), method=b"HEAD")
    raw += request(*usual(cast), CLOSE)
    received = exchange(port, raw)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401")
    assert rest.startswith(b"HTTP/1.1 204")


def test_a_body_on_a_get_is_nothing(cast: Samples, port: int) -> None:
    """Of whatever size and encoding, it changes no answer and doesn't become the next request."""
    smuggled = request(*usual(cast, "good"))
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled), smuggled)
    for headers, body in (
        ([(b"Content-Length", str(len(smuggled)).encode())], smuggled),
        ([(b"Transfer-Encoding", b"chunked")], chunked),
    ):
        raw = request(*usual(cast, "expired"), *headers, body=body)
        raw += request(*usual(cast, "gone"), CLOSE)
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
def test_what_is_no_request_is_no_answer(cast: Samples, port: int, raw: bytes) -> None:
    """Refused or cut off by the server, never allowed, and the worker lives."""
    received = exchange(port, raw, seconds=0.5)
    assert not received.startswith(b"HTTP/1.1 2")
    assert b"x-gatepass-token" not in received.lower()
    assert reason_of(port, *usual(cast)) == "allowed"


def verifying(cast: Samples, *headers: tuple[bytes, bytes]) -> bytes:
    """The head of a question."""
    key = (b"Authorization", b"Bearer " + cast.texts["verifier"].encode())
    return request(key, *headers, CLOSE, method=b"POST", path=VERIFY.encode())


@pytest.mark.parametrize("size", [MOST_BODY_BYTES, MOST_BODY_BYTES + 1, 3 * MOST_BODY_BYTES])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_mebibyte_is_the_most(cast: Samples, port: int, size: int, chunked: bool) -> None:
    """Whether the length is told or not, it isn't read further than that."""
    body = json.dumps({"token": cast.texts["good"], "permission": "charges:get"}).encode()
    body += b" " * (size - len(body))
    if chunked:
        raw = verifying(cast, (b"Transfer-Encoding", b"chunked"))
        step = 65_536
        for start in range(0, size, step):
            part = body[start : start + step]
            raw += b"%x\r\n%s\r\n" % (len(part), part)
        raw += b"0\r\n\r\n"
    else:
        raw = verifying(cast, (b"Content-Length", str(size).encode())) + body
    received = exchange(port, raw)
    if size <= MOST_BODY_BYTES:
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b'"allowed":true' in received
    else:
        # What is sent on after the answer may be met by a reset, which can swallow it.
        assert received.startswith(b"HTTP/1.1 413 ") or not received
    assert reason_of(port, *usual(cast)) == "allowed"


def test_a_body_that_is_too_large_is_told_so(cast: Samples, port: int) -> None:
    """413 as a problem document, to a client that waits for it before it sends on."""
    raw = verifying(cast, (b"Transfer-Encoding", b"chunked"))
    part = b"%x\r\n%s\r\n" % (MOST_BODY_BYTES + 1, b" " * (MOST_BODY_BYTES + 1))
    ((status, headers, content),) = answers(exchange(port, raw, part, seconds=1))
    assert status == 413
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(content)["reason"] == "body_too_large"


def test_a_body_in_small_pieces(cast: Samples, port: int) -> None:
    """It is put together before it is read; half of it is no question."""
    body = json.dumps({"token": cast.texts["good"], "permission": "charges:get"}).encode()
    head = verifying(cast, (b"Content-Length", str(len(body)).encode()))
    pieces = [body[at : at + 10] for at in range(0, len(body), 10)]
    received = exchange(port, head, *pieces, pause=0.005)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b'"allowed":true' in received


def test_a_body_that_breaks_off_is_no_question(cast: Samples, port: int) -> None:
    """The worker lives, and others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(verifying(cast, (b"Content-Length", b"1000")) + b'{"permission": ')
        assert reason_of(port, *usual(cast)) == "allowed"
    assert reason_of(port, *usual(cast)) == "allowed"


def test_half_a_request_is_not_decided_on(cast: Samples, port: int) -> None:
    """What came may read as a whole question, and still not be what was asked."""
    body = json.dumps({"token": cast.texts["good"], "permission": "charges:get"}).encode()
    length = str(len(body) + 1).encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(verifying(cast, (b"Content-Length", length)) + body)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65_536):
            received += part
    assert b"allowed" not in received
    assert not received.startswith(b"HTTP/1.1 200 ")


def test_slow_callers_hold_up_nobody(cast: Samples, port: int) -> None:
    """Many connections that send half a request each; the others are answered at once."""
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    for connection in idle:
        connection.sendall(b"GET /authz/nginx HTTP/1.1\r\nX-Original-URI: /v1")
    for _ in range(10):
        assert reason_of(port, *usual(cast)) == "allowed"
    for connection in idle:
        connection.close()


def test_a_header_of_many_kilobytes(cast: Samples, port: int) -> None:
    """Read or refused, never allowed for it."""
    for name in ("X_Forwarded_For", "Origin", "Referer", "X_Original_URI", "Authorization"):
        for filling in (b"127.0.0.1,", b"a.", b"/%61", b"%", b" ", b","):
            value = (filling * 4_000)[:8_000] + b"x"
            raw = request(*usual(cast, "ui", **{name: value}), CLOSE)
            received = exchange(port, raw)
            assert received.startswith((b"HTTP/1.1 401", b"HTTP/1.1 403", b"HTTP/1.1 431"))


def test_very_many_headers_are_refused_clearly(cast: Samples, port: int) -> None:
    """As the request's fault, with the status that says which; a gateway must not send them."""
    many = [(f"X-{number}".encode(), b"x") for number in range(150)]
    received = exchange(port, request(*usual(cast), *many, CLOSE))
    assert received.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")


@pytest.mark.parametrize("role", ["verify", "main"])
def test_a_gateways_faults_are_in_the_log(cast: Samples, chosen: Settings, role: str) -> None:
    """Of the process that was asked, once each."""
    worker = Worker(role, chosen)
    for _ in range(3):
        reason_of(worker.port, *usual(cast, X_Original_URI=None))
        reason_of(worker.port, *usual(cast, X_Forwarded_For=b"nonsense\xff"))
    log = worker.stop()
    assert log.count("doesn't send 'X-Original-URI'") == 1
    assert log.count("sends an X-Forwarded-For that can't be read") == 1
    assert "nonsense" not in log


@pytest.mark.parametrize(
    "path", ["/authz", "/authz/", "/authz/nginx/", "/authz/traefik", "/authz/nginx/x"]
)
def test_other_paths_for_gateways_are_none(cast: Samples, port: int, path: str) -> None:
    """404 rather than an answer that a gateway could take for one: 2xx would be "allowed"."""
    headers = [(name.decode(), value) for name, value in usual(cast)]
    answer = ask(port, "GET", path, headers)
    if path == "/authz" and answer.status == 418:
        return  # the main port's application answers that
    assert answer.status == 404
    assert answer.json["reason"] == "not_found"
    assert answer.header("x-gatepass-token") is None


@pytest.mark.parametrize(
    "path", ["/", "/v1/me", "/v1/verify/", "/v1/access-tokens", "/sign-in", "/metrics", "/health"]
)
def test_the_verify_port_answers_nothing_else(cast: Samples, verify_port: int, path: str) -> None:
    """No page, no API, no document of it."""
    answer = ask(verify_port, "GET", path, [("Authorization", "Bearer " + cast.texts["login"])])
    assert answer.status == 404
    assert answer.header("content-type") == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/v1/me", "/v1/verify/", "/health", "/authz"])
def test_the_main_port_passes_the_rest_on(main_port: int, path: str) -> None:
    """What isn't for gateways, services or probes is the application's."""
    assert ask(main_port, "GET", path).status == 418


@pytest.mark.parametrize(
    "path",
    [
        *(b"/%61uthz/nginx", b"/authz%2fnginx", b"/authz%2Fnginx", b"/auth%7A/nginx"),
        *(b"/authz/ngin%78", b"/%61%75%74%68%7a/%6e%67%69%6e%78", b"/authz/%6Eginx?x=/authz/nginx"),
    ],
)
def test_escapes_dont_hide_an_endpoint(cast: Samples, main_port: int, path: bytes) -> None:
    """A proxy that denies /authz/ may compare the path as it comes."""
    sent = exchange(main_port, request(*usual(cast), CLOSE, path=path))
    ((status, _, _),) = answers(sent)
    assert status == 404


@pytest.mark.parametrize(
    "path", ["/%76%31/verify", "/v1%2fverify", "/v1/verif%79", "/health%2flive", "/healt%68/ready"]
)
def test_escapes_dont_hide_the_others(main_port: int, path: str) -> None:
    """Nor those for services and for health."""
    assert ask(main_port, "POST" if "v1" in path else "GET", path).status == 404


def test_methods_that_an_address_doesnt_answer(cast: Samples, port: int) -> None:
    """405 with the ones it does."""
    for method in ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        answer = ask(port, method, VERIFY, [("Authorization", cast.texts["verifier"])])
        assert (answer.status, answer.header("allow")) == (405, "POST")
    for path in ("/health/live", "/health/ready"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = ask(port, method, path)
            assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


def test_health(port: int) -> None:
    """For probes, without a credential."""
    for path, status in (("/health/live", "live"), ("/health/ready", "ready")):
        answer = ask(port, "GET", path)
        assert (answer.status, answer.json) == (200, {"status": status})
        assert answer.header("cache-control") == "no-store"
        answer = ask(port, "HEAD", path)
        assert (answer.status, answer.body) == (200, b"")


def test_a_worker_that_trusts_nobody_answers_no_gateway(cast: Samples, chosen: Settings) -> None:
    """By its setting, at the real port."""
    worker = Worker("verify", chosen.with_(trusted_proxies=()))
    try:
        headers = [(name.decode(), value) for name, value in usual(cast)]
        answer = ask(worker.port, "GET", GATEWAY, headers)
        assert (answer.status, answer.header("x-gatepass-reason")) == (403, "peer_not_trusted")
    finally:
        worker.stop()


@pytest.mark.parametrize("role", ["verify", "main"])
def test_a_peer_by_ipv6(cast: Samples, chosen: Settings, role: str) -> None:
    """Its address is read as well as any other, and speaks for others if it is trusted."""
    loopback = (parse_network("::1/128"),)
    worker = Worker(role, chosen.with_(host="::1", trusted_proxies=loopback))
    try:
        for forwarded, status in ((b"203.0.113.7", 204), (b"198.51.100.1", 403)):
            sent = usual(cast, "listed", X_Forwarded_For=forwarded)
            headers = [(name.decode(), value) for name, value in sent]
            assert ask(worker.port, "GET", GATEWAY, headers, host="::1").status == status
    finally:
        worker.stop()


def test_no_secret_is_logged(cast: Samples, chosen: Settings) -> None:
    """Whatever is asked, allowed or refused or broken, what a worker writes to its log holds none
    of the credentials, nor the settings' passwords."""
    password = "hunter2secret"
    settings = chosen.with_(smtp_url=f"smtp://gate:{password}@mail:25")
    for role in ("verify", "main"):
        worker = Worker(role, settings)
        try:
            for token in cast.texts:
                exchange(worker.port, request(*usual(cast, token), CLOSE))
            for body in (b"{", b"[]", b'{"token": "' + cast.texts["good"].encode() + b'", "x": 1}'):
                length = (b"Content-Length", str(len(body)).encode())
                exchange(worker.port, verifying(cast, length) + body)
            exchange(worker.port, usual(cast)[0][1] + b"\r\n\r\n", seconds=0.3)
            os.kill(worker.process.pid, signal.SIGTERM)
        finally:
            logged = worker.stop()
        assert password not in logged
        for text in filter(None, cast.texts.values()):
            assert text[21:] not in logged
