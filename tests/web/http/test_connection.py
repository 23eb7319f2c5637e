"""One HTTP/1.1 connection: framing, order of answers, limits of time and size."""

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.web.body_limits import Bodies, Body, BodyRefused
from gatepass.web.http import connection as connection_module
from gatepass.web.http.answers import CLOSE, rest_of
from gatepass.web.http.body_connection import BodyConnection
from gatepass.web.http.connection import (
    HEAD_SECONDS,
    IDLE_SECONDS,
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    UNREAD_SECONDS,
    Connection,
)

GET = b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n"


class Echo(BodyConnection):
    """Answers with what it understood: method, target, headers that begin with x-, and body."""

    def head_received(self) -> None:
        hosts = [value for name, value in self.headers if name.lower() == b"host"]
        encodings = [v for name, v in self.headers if name.lower() == b"transfer-encoding"]
        fault = self.fault(len(hosts), encodings, plain=False)
        if fault is not None:
            self.refuse(fault)
        elif self.target.startswith(b"/body"):
            bodies = Bodies()
            self.read_body(Body(bodies, 100_000, bodies.services, "key"))
            if any(name.lower() == b"expect" for name, _ in self.headers):
                self.send_continue()
        elif self.target == b"/broken":
            raise ZeroDivisionError("a fault")
        else:
            self._say()

    def body_received(self, content: bytes, *, at_once: bool) -> None:
        self._say(content)

    def body_refused(self, refused: BodyRefused) -> None:
        self.respond(refused.status, rest_of(refused.status, CLOSE, b""))

    def refuse(self, status: int) -> None:
        self.keep_alive = False
        self.respond(status, rest_of(status, CLOSE, b""))
        self.close()

    def _say(self, content: bytes = b"") -> None:
        ours = [name + b"=" + value for name, value in self.headers if name.startswith(b"X-")]
        said = b" ".join((self.method, self.target, *ours, content))
        self.respond(200, rest_of(200, b"", said))


class FakeServer:
    """Stands in for a server; the test moves its time."""

    def __init__(self) -> None:
        self.tick = 0
        self.stopping = False
        self.starts: dict[int, bytes] = {}
        self.soon: list[Callable[[], Any]] = []

    def start_of(self, status: int) -> bytes:
        return b"HTTP/1.1 %d \r\n" % status

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def busy(self, connection: Connection) -> None: ...

    def idle(self, connection: Connection) -> None: ...

    def call_soon(self, function: Callable[[], Any]) -> None:
        self.soon.append(function)

    def run(self) -> None:
        while self.soon:
            self.soon.pop(0)()


class FakeTransport(asyncio.Transport):
    """Records what is written and done."""

    family = socket.AF_INET

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.done: list[str] = []
        self.unsent = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 4711), "socket": self}.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.is_closing()
        assert "eof" not in self.done
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


class Client:
    """A client of one connection."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.connection = Echo(self.server)
        self.transport = FakeTransport()
        self.connection.connection_made(self.transport)

    def send(self, *parts: bytes) -> list[tuple[int, bytes]]:
        """Send *parts* one after another; the answers so far."""
        for part in parts:
            self.connection.data_received(part)
            self.server.run()
        return answers(self.transport.sent)

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.server.tick += 1
            if self.connection.deadline <= self.server.tick and "abort" not in self.transport.done:
                self.connection.time_out()


def answers(sent: bytes) -> list[tuple[int, bytes]]:
    found = []
    while sent:
        head, _, sent = sent.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status == 100:
            continue
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        found.append((status, sent[:length]))
        sent = sent[length:]
    return found


@pytest.fixture
def client() -> Client:
    return Client()


def request(target: bytes, *headers: bytes, body: bytes = b"", method: bytes = b"GET") -> bytes:
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: a", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\nX-T: no\r\n\r\n"


STREAM = (
    request(b"/one", b"X-A: 1")
    + request(b"/body/a", b"Content-Length: 11", body=b"GET / HTTP/", method=b"POST")
    + request(b"/two", b"Content-Length: 4", b"X-B: 2", body=b"skip")
    + request(b"/body/b", b"Transfer-Encoding: chunked", body=chunked(b"x" * 40, 7), method=b"POST")
    + request(b"/three", b"X-C:", b"Transfer-Encoding: Chunked", body=chunked(b"y" * 9, 4))
    + request(b"/four", b"X-D: " + b"d" * 300)
)
EXPECTED = [
    (200, b"GET /one X-A=1 "),
    (200, b"POST /body/a GET / HTTP/"),
    (200, b"GET /two X-B=2 "),
    (200, b"POST /body/b " + b"x" * 40),
    (200, b"GET /three X-C= "),
    (200, b"GET /four X-D=" + b"d" * 300 + b" "),
]


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_any_split_of_the_bytes_is_the_same_requests(cuts: list[int]) -> None:
    """Pipelined, with bodies of each kind, the answers are the same and in order."""
    places = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[a:b] for a, b in pairwise(places)]
    assert Client().send(*filter(None, parts)) == EXPECTED


def test_byte_by_byte(client: Client) -> None:
    assert client.send(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == EXPECTED


def test_large_data_is_parsed_in_pieces(client: Client) -> None:
    """Other connections get their turn between two pieces, and nothing more is read meanwhile."""
    stream = STREAM * 60
    assert len(stream) > 2 * Connection.piece_bytes
    client.connection.data_received(stream)
    assert len(answers(client.transport.sent)) < len(EXPECTED) * 60
    assert client.transport.done == ["pause"]
    client.server.run()
    assert answers(client.transport.sent) == EXPECTED * 60
    assert client.transport.done == ["pause", "resume"]


# --- framing -------------------------------------------------------------------------------------

SMUGGLED = request(b"/smuggled")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: +5", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: -5", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length:", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked", 501),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip", 501),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", 501),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity", 501),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n folded: yes", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nX-A: 1\nX-B: 2", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2", 400),
        (b"GET /one HTTP/1.1\nHost: a", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nX-A: \x00", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\n: x", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nX\x80: x", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nHost: a", 400),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nhost: b", 400),
        (b"GET /one HTTP/1.1\r\nX-A: 1", 400),
        (b"GET /one HTTP/2.0\r\nHost: a", 505),
        (b"GET /one HTTP/0.9\r\nHost: a", 505),
        (b"GET /one HTTP/1.2\r\nHost: a", 400),
        (b"GET /one", 505),
        (b"GET /o ne HTTP/1.1\r\nHost: a", 400),
        (b"GET /\x80 HTTP/1.1\r\nHost: a", 400),
        (b"BREW /one HTTP/1.1\r\nHost: a", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a", 501),
        (b"PRI * HTTP/2.0\r\n\r\nSM", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(client: Client, raw: bytes, status: int) -> None:
    """With one answer, after which nothing on the connection is a request."""
    assert [found for found, _ in client.send(raw + b"\r\n\r\n" + SMUGGLED, SMUGGLED)] == [status]
    assert "eof" in client.transport.done


@pytest.mark.parametrize(
    "body",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_a_broken_chunk_ends_the_connection(client: Client, body: bytes) -> None:
    head = request(b"/body", b"Transfer-Encoding: chunked", method=b"POST")
    assert [status for status, _ in client.send(head + body + SMUGGLED)] == [400]


def test_a_field_behind_a_chunked_body_is_no_header(client: Client) -> None:
    body = b"1\r\na\r\n0\r\nX-Trailer: 1\r\n\r\n"
    raw = request(b"/body", b"Transfer-Encoding: chunked", body=body, method=b"POST")
    assert client.send(raw, GET) == [(200, b"POST /body a"), (200, b"GET /one ")]


@pytest.mark.parametrize(
    "lines",
    [
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        (b"Connection: upgrade", b"Upgrade: websocket"),
        (b"Connection: keep-alive", b"Connection: UPGRADE", b"Upgrade: anything"),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_a_wish_for_another_protocol_is_ignored(
    client: Client, lines: tuple[bytes, ...], split: bool
) -> None:
    """Java's client sends such a head with a body behind it."""
    raw = request(b"/body", *lines, b"Content-Length: 5", body=b"hello", method=b"POST")
    parts = [raw[at : at + 1] for at in range(len(raw))] if split else [raw]
    assert client.send(*parts, GET) == [(200, b"POST /body hello"), (200, b"GET /one ")]


def test_an_upgrade_and_a_close(client: Client) -> None:
    raw = request(b"/one", b"Connection: upgrade, close", b"Upgrade: h2c")
    assert client.send(raw) == [(200, b"GET /one ")]
    assert client.transport.done == ["eof"]


@pytest.mark.parametrize(
    "line", [b"Proxy-Connection: upgrade", b"Proxy-Connection: a, Upgrade\r\nConnection: upgrade"]
)
def test_an_upgrade_by_an_old_name_is_ignored_too(client: Client, line: bytes) -> None:
    """llhttp reads Proxy-Connection as it reads Connection."""
    raw = request(b"/one", line, b"Upgrade: h2c")
    assert client.send(raw, GET) == [(200, b"GET /one ")] * 2


def test_an_upgrade_keeps_the_version(client: Client) -> None:
    """HTTP/1.0 knows no upgrades, and keeps no connection unless asked to (RFC 9110, 7.8)."""
    raw = b"GET /one HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert client.send(raw, GET) == [(200, b"GET /one ")]
    assert client.transport.done == ["eof"]


def test_many_upgrades_at_once(client: Client) -> None:
    raw = request(b"/one", b"Connection:upgrade", b"Upgrade:")
    number = Connection.piece_bytes // len(raw)
    assert client.send(raw * number) == [(200, b"GET /one ")] * number


@pytest.mark.parametrize("line", [b"Connection: keep-alive", b"Proxy-Connection: keep-alive"])
def test_only_http_1_1_has_chunks(client: Client, line: bytes) -> None:
    """A proxy of HTTP/1.0 finds another end of such a request (RFC 9112, 6.1)."""
    head = b"POST /body HTTP/1.0\r\nHost: a\r\n" + line + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = client.send(head + b"0\r\n\r\n" + SMUGGLED)
    assert [status for status, _ in found] == [400]


@pytest.mark.parametrize(("version", "told"), [(b"1.1", True), (b"1.0", False)])
def test_only_http_1_1_waits_for_a_continue(client: Client, version: bytes, told: bool) -> None:
    head = b"POST /body HTTP/" + version + b"\r\nHost: a\r\nExpect: 100-continue\r\n"
    client.send(head + b"Content-Length: 1\r\n\r\n")
    assert client.transport.sent == (b"HTTP/1.1 100 Continue\r\n\r\n" if told else b"")


@pytest.mark.parametrize("body", [b"ZZ\r\n\r\n", b"1\r\nab", b"0\r\n: x\r\n\r\n"])
@pytest.mark.parametrize("together", [True, False])
def test_a_request_has_one_answer_though_its_body_is_broken(
    client: Client, body: bytes, together: bool
) -> None:
    """A second one would be taken for the answer to the next request."""
    head = request(b"/one", b"Transfer-Encoding: chunked")
    parts = [head + body] if together else [head, body]
    assert client.send(*parts, SMUGGLED) == [(200, b"GET /one ")]
    assert client.transport.done == ["eof"]


@pytest.mark.parametrize(
    "second", [b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", request(b"/broken"), b"GET /\x00"]
)
def test_behind_a_refusal_nothing_is_refused(client: Client, second: bytes) -> None:
    found = client.send(b"GET /one HTTP/1.1\r\n\r\n" + second)
    assert [status for status, _ in found] == [400]
    assert client.transport.done == ["eof"]


def test_empty_lines_before_a_request_are_skipped(client: Client) -> None:
    """RFC 9112, 2.2."""
    assert client.send(b"\r\n\r\n" + GET + b"\r\n" + GET) == [(200, b"GET /one ")] * 2


@pytest.mark.parametrize(
    ("raw", "closes"),
    [
        (b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n", False),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", False),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", True),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", True),
        (b"GET /one HTTP/1.0\r\n\r\n", True),
        (b"GET /one HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
def test_the_client_says_whether_the_connection_stays(
    client: Client, raw: bytes, closes: bool
) -> None:
    assert client.send(raw) == [(200, b"GET /one ")]
    assert client.transport.done == (["eof"] if closes else [])


def test_nothing_is_answered_behind_a_close(client: Client) -> None:
    raw = request(b"/one", b"Connection: close") + SMUGGLED
    assert client.send(raw, SMUGGLED) == [(200, b"GET /one ")]


# --- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 16_000])
def test_a_head_has_a_limit(client: Client, size: int) -> None:
    line = b"X-A: " + b"a" * size + b"\r\n"
    for _ in range(MOST_HEAD_BYTES // len(line) + 2):
        if client.transport.sent:
            break
        client.send(line if client.connection.target else b"GET /one HTTP/1.1\r\n" + line)
    assert [status for status, _ in answers(client.transport.sent)] == [431]


def test_a_target_has_a_limit(client: Client) -> None:
    client.send(b"GET /")
    for _ in range(9):
        client.send(b"a" * 8_192)
    assert [status for status, _ in answers(client.transport.sent)] == [431]


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_headers_have_a_limit(client: Client, more: int, status: int) -> None:
    lines = [b"Y: 1"] * (MOST_HEADERS - 1 + more)
    assert [found for found, _ in client.send(request(b"/one", *lines))] == [status]


def test_a_body_has_the_limit_that_its_reader_set(client: Client) -> None:
    head = request(b"/body", b"Transfer-Encoding: chunked", method=b"POST")
    piece = b"3e8\r\n" + b"b" * 1_000 + b"\r\n"
    found = client.send(head, *[piece] * 102, SMUGGLED)
    assert [status for status, _ in found] == [413]


@pytest.mark.parametrize("size", [60_000, 70_000])
@pytest.mark.parametrize("split", [500, 16_384])
def test_a_body_that_nobody_reads_is_skipped_up_to_a_limit(
    client: Client, size: int, split: int
) -> None:
    body = b"s" * size
    head = request(b"/one", b"Content-Length: %d" % size)
    parts = [body[at : at + split] for at in range(0, size, split)]
    found = client.send(head, *parts, GET)
    assert found == [(200, b"GET /one ")] * (2 if size == 60_000 else 1)
    assert ("eof" in client.transport.done) == (size == 70_000)


@pytest.mark.parametrize("framing", [b"0\r\nX: ", b"5;a="])
@pytest.mark.parametrize(("target", "expected"), [(b"/body", [413]), (b"/one", [200])])
def test_fields_and_chunk_extensions_of_a_body_have_a_limit(
    client: Client, framing: bytes, target: bytes, expected: list[int]
) -> None:
    """They aren't content, and a field is in memory until it ends."""
    client.send(request(target, b"Transfer-Encoding: chunked", body=b"1\r\nb\r\n") + framing)
    for _ in range(MOST_HEAD_BYTES // 8_192 + 1):
        client.send(b"x" * 8_192)
    assert [status for status, _ in answers(client.transport.sent)] == expected
    assert client.transport.done[0] == "eof"


# --- time ----------------------------------------------------------------------------------------


def test_a_connection_without_a_request_times_out(client: Client) -> None:
    client.wait(HEAD_SECONDS - 1)
    assert client.transport.done == []
    client.wait(1)
    assert client.transport.done == ["close"]
    assert not client.transport.sent


def test_a_head_times_out_however_it_trickles(client: Client) -> None:
    client.send(GET)
    client.send(b"GET /slow HTTP/1.1\r\n")
    for number in range(HEAD_SECONDS):
        assert len(answers(client.transport.sent)) == 1, number
        client.send(b"X-%d: 1\r\n" % number)
        client.wait(1)
    assert [status for status, _ in answers(client.transport.sent)] == [200, 408]
    client.wait(3)
    assert client.transport.done == ["eof", "abort"]


def test_a_body_times_out_however_it_trickles(client: Client) -> None:
    client.send(request(b"/body", b"Content-Length: 1000", method=b"POST"))
    for _ in range(15):
        assert not client.transport.sent
        client.send(b"b")
        client.wait(1)
    assert [status for status, _ in answers(client.transport.sent)] == [408]


def test_an_idle_connection_times_out(client: Client) -> None:
    for _ in range(3):
        client.send(GET)
        client.wait(IDLE_SECONDS - 1)
        assert client.transport.done == []
    client.wait(1)
    assert client.transport.done == ["close"]


def test_nothing_is_read_while_answers_arent(client: Client) -> None:
    client.send(GET)
    client.connection.pause_writing()
    assert client.transport.done == ["pause"]
    client.connection.data_received(STREAM * 60)
    client.server.run()
    assert len(answers(client.transport.sent)) == 1
    client.connection.resume_writing()
    client.server.run()
    assert answers(client.transport.sent)[1:] == EXPECTED * 60
    client.connection.pause_writing()
    client.wait(UNREAD_SECONDS)
    assert client.transport.done[-1] == "abort"


def test_a_client_that_ends_and_reads_nothing_is_disconnected(client: Client) -> None:
    """Its connection closes once its answers are sent, which they never are."""
    client.send(GET)
    assert not client.connection.eof_received()
    client.transport.close()
    client.wait(IDLE_SECONDS)
    assert client.transport.done == ["close", "abort"]


@pytest.mark.parametrize("how", ["pause", "close", "refuse"])
def test_a_client_that_reads_slowly_gets_its_answer(client: Client, how: str) -> None:
    """As long as it reads at all."""
    client.send(GET)
    client.transport.unsent = 1_000_000
    if how == "pause":
        client.connection.pause_writing()
    elif how == "close":
        client.send(b"GET /one HTTP/1.0\r\n\r\n")
    else:
        client.send(b"BREW")
    client.wait(connection_module._SKIPPING_SECONDS)
    for _ in range(5):
        client.transport.unsent -= connection_module._LEAST_READ
        client.wait(UNREAD_SECONDS)
        assert "abort" not in client.transport.done
    client.transport.unsent -= 1
    client.wait(UNREAD_SECONDS)
    assert client.transport.done[-1] == "abort"


def test_a_client_that_closes_after_the_last_answer(client: Client) -> None:
    """It does, so the connection stays readable: closing it could lose the answer."""
    client.send(b"GET /one HTTP/1.0\r\n\r\n", b"\r\n")
    assert client.transport.done == ["eof"]
    assert not client.connection.eof_received()


def test_after_an_error_the_client_gets_time_to_read_it(client: Client) -> None:
    """A connection that is closed while its client sends is reset, and the answer lost."""
    client.send(b"BREW")
    assert client.transport.done == ["eof"]
    client.send(*[b"x" * 10_000] * 6)
    assert client.transport.done == ["eof"]
    client.send(b"x" * 10_000)
    assert client.transport.done == ["eof", "close"]


# --- ends ----------------------------------------------------------------------------------------


def test_half_a_body_is_no_request(client: Client) -> None:
    client.send(request(b"/body", b"Content-Length: 10", body=b"half", method=b"POST"))
    assert client.connection.eof_received() is False
    assert [status for status, _ in answers(client.transport.sent)] == [400]


@pytest.mark.parametrize("end", [b"ZZ\r\n", b"0\r\n: x\r\n"])
def test_a_broken_body_that_then_ends_is_refused_once(client: Client, end: bytes) -> None:
    """And what it reserved is free at once, not when the client has gone."""
    client.send(request(b"/body", b"Transfer-Encoding: chunked", method=b"POST"), b"1\r\nb\r\n")
    body = client.connection._body
    assert body is not None
    client.send(end)
    assert body._account[0].held == 0
    assert client.connection.eof_received() is False
    assert [status for status, _ in answers(client.transport.sent)] == [400]


def test_a_fault_of_ours_is_500(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    raw = request(b"/broken", b"Authorization: Bearer secret")
    assert client.send(raw + SMUGGLED) == [(500, b"")]
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def test_a_body_gives_back_what_it_reserved(client: Client) -> None:
    """Whether it ends, breaks off or is refused."""
    client.send(request(b"/body", b"Content-Length: 1000", method=b"POST"), b"b" * 500)
    body = client.connection._body
    assert body is not None
    budget = body._account[0]
    assert budget.held == 500
    client.connection.connection_lost(None)
    assert budget.held == 0
