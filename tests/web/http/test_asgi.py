"""Connections for an ASGI application."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from gatepass.web.http import asgi as asgi_module
from gatepass.web.http.asgi import AsgiConnection
from gatepass.web.http.connection import HEAD_SECONDS, IDLE_SECONDS, UNREAD_SECONDS
from tests.web.http.test_connection import GET, SMUGGLED, FakeServer, FakeTransport, request

App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def body_of(receive: Receive) -> bytes | None:
    """The whole body; None if it broke off."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message["body"]
        more = message["more_body"]
    return body


async def answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it received."""
    body = await body_of(receive)
    if body is None:
        await answer(send, 400, b"")
        return
    ours = [[k.decode(), v.decode()] for k, v in scope["headers"] if k.startswith(b"x-")]
    said = [scope["method"], scope["path"], scope["query_string"].decode(), ours, body.decode()]
    await answer(send, 200, json.dumps(said).encode())


class Client:
    """A client of one connection, in a running loop."""

    def __init__(self, app: App = echo) -> None:
        self.server = FakeServer()
        self.connection = AsgiConnection(self.server, app)
        self.transport = FakeTransport()
        self.connection.connection_made(self.transport)

    async def settle(self) -> None:
        """Let the application run until it waits."""
        for _ in range(20):
            self.server.run()
            await asyncio.sleep(0)

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        for _ in range(seconds):
            self.server.tick += 1
            if self.connection.deadline <= self.server.tick and "abort" not in self.transport.done:
                self.connection.time_out()

    async def send(self, *parts: bytes) -> bytes:
        """Send *parts* one after another; everything sent back so far."""
        for part in parts:
            self.connection.data_received(part)
            await self.settle()
        return self.transport.sent

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in answers(self.transport.sent)]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in answers(self.transport.sent)]


def answers(sent: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """The status, headers and body of each answer."""
    found = []
    while sent:
        head, _, sent = sent.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while True:
                size, _, sent = sent.partition(b"\r\n")
                piece, sent = sent[: int(size, 16)], sent[int(size, 16) + 2 :]
                if not piece:
                    break
                body += piece
        else:
            length = int(headers.get("content-length", 0))
            body, sent = sent[:length], sent[length:]
        if not first.startswith("HTTP/1.1 100"):
            found.append((int(first.split()[1]), headers, body))
    return found


def running(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test within an event loop."""

    @wraps(test)
    def run(*args: Any, **how: Any) -> None:
        asyncio.run(test(*args, **how))

    return run


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


STREAM = (
    request(b"/one?a=b%20c", b"X-A:  1 ")
    + request(b"/b%C3%A4/c", b"Content-Length: 11", body=b"GET / HTTP/", method=b"POST")
    + request(b"/two", b"Transfer-Encoding: chunked", body=chunked(b"x" * 40, 7), method=b"PUT")
    + request(b"http://other.example/three?x", b"X-B: 2", b"X-B: 3")
    + request(b"/four", b"Content-Length: 4", body=b"more", method=b"DELETE")
)
EXPECTED = [
    ["GET", "/one", "a=b%20c", [["x-a", "1"]], ""],
    ["POST", "/bä/c", "", [], "GET / HTTP/"],
    ["PUT", "/two", "", [], "x" * 40],
    ["GET", "/three", "x", [["x-b", "2"], ["x-b", "3"]], ""],
    ["DELETE", "/four", "", [], "more"],
]


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=8))
@running
async def test_any_split_of_the_bytes_is_the_same_requests_in_order(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    client = Client()
    await client.send(*filter(None, (STREAM[a:b] for a, b in pairwise(places))))
    assert client.bodies == EXPECTED


@running
async def test_many_requests_at_once_are_answered_one_after_the_other() -> None:
    running_now, most = 0, 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0)
        running_now -= 1
        await echo(scope, receive, send)

    client = Client(slow)
    await client.send(STREAM * 100)
    for _ in range(200):
        await client.settle()
    assert client.bodies == EXPECTED * 100
    assert most == 1


@running
async def test_few_requests_are_queued() -> None:
    """Each takes dozens of times the memory of its bytes."""
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await echo(scope, receive, send)

    client = Client(slow)
    await client.send(GET * 2_000)
    assert len(client.connection._exchanges) * len(GET) <= asgi_module._PIECE_BYTES
    go_on.set()
    for _ in range(500):
        await client.settle()
    assert client.statuses == [200] * 2_000


@running
async def test_nothing_is_answered_before_the_client_has_read_the_answer_before() -> None:
    """Otherwise a few bytes of requests would fill memory with answers."""
    called = []

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)
        await echo(scope, receive, send)

    client = Client(counted)
    client.connection.data_received(GET * 10)
    client.connection.pause_writing()
    await client.settle()
    assert client.statuses == []
    client.connection.resume_writing()
    client.server.run()
    for _ in range(3):
        await asyncio.sleep(0)
    client.connection.pause_writing()
    await client.settle()
    assert len(client.statuses) < 10
    client.wait(UNREAD_SECONDS)
    assert client.transport.done[-1] == "abort"
    answered = len(client.statuses)
    client.connection.connection_lost(None)
    await client.settle()
    assert len(called) == answered


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6", 400),
        (b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", 501),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (b"GET /one HTTP/1.1\r\nX-A: 1", 400),
        (b"GET /one HTTP/2.0\r\nHost: a", 505),
        (b"GET /one HTTP/1.1\r\nHost: a\r\nExpect: tea", 417),
        (b"BREW /one HTTP/1.1\r\nHost: a", 400),
        (b"GET /one HTTP/2.0\r\nHost: a\r\nProxy-Connection: keep-alive", 505),
    ],
)
@pytest.mark.parametrize("before", [b"", GET])
@running
async def test_what_could_be_read_in_two_ways_is_refused(
    raw: bytes, status: int, before: bytes
) -> None:
    """In its turn, and nothing behind it is a request."""
    client = Client()
    await client.send(before + raw + b"\r\n\r\n" + SMUGGLED, SMUGGLED)
    assert client.statuses == ([200, status] if before else [status])
    assert "eof" in client.transport.done


@pytest.mark.parametrize("name", [b"Connection", b"Proxy-Connection"])
@running
async def test_chunks_of_http_1_0_are_refused(name: bytes) -> None:
    """A proxy of that version finds another end. llhttp reads both headers alike."""
    client = Client()
    lines = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + name
    await client.send(lines + b": keep-alive\r\n\r\n0\r\n\r\n" + SMUGGLED)
    assert client.statuses == [400]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@running
async def test_an_answer_of_unknown_length(method: bytes, version: bytes) -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"first", b"", b"second"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    client = Client(stream)
    sent = await client.send(method + b" / HTTP/" + version + b"\r\nHost: a\r\n\r\n")
    head, _, body = sent.partition(b"\r\n\r\n")
    assert b"content-length" not in head
    if method == b"HEAD":
        assert body == b""
    elif version == b"1.1":
        assert body == b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"
    else:
        assert body == b"firstsecond"
    assert ("eof" in client.transport.done) == (version == b"1.0")


@running
async def test_an_answer_without_a_body() -> None:
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 204, b"")

    client = Client(nothing)
    await client.send(GET + GET)
    assert client.statuses == [204, 204]
    assert b"content-length" not in client.transport.sent


@running
async def test_the_application_may_close_the_connection() -> None:
    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"{}", (b"Connection", b"close"))

    client = Client(closing)
    await client.send(GET + SMUGGLED)
    assert client.statuses == [200]
    assert client.transport.sent.count(b"connection: close") == 1
    assert client.transport.done == ["eof", "resume"]


@running
async def test_a_client_that_leaves_is_noticed_during_an_answer() -> None:
    messages: list[Message] = []

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        messages.extend([await receive(), await receive()])
        await send({"type": "http.response.body", "body": b"nobody reads it"})

    client = Client(waiting)
    await client.send(GET)
    assert [message["type"] for message in messages] == []
    client.connection.connection_lost(None)
    await client.settle()
    assert [message["type"] for message in messages] == ["http.request", "http.disconnect"]
    assert client.transport.sent == b""


@pytest.mark.parametrize("how", ["end", "broken chunk"])
@running
async def test_half_a_body_is_a_disconnect_and_may_be_answered(how: str) -> None:
    client = Client()
    if how == "end":
        await client.send(request(b"/x", b"Content-Length: 9", body=b"half", method=b"POST"))
        client.connection.eof_received()
    else:
        raw = request(b"/x", b"Transfer-Encoding: chunked", method=b"POST")
        await client.send(raw + b"4\r\nhalf\r\nxyz\r\n" + SMUGGLED)
    await client.settle()
    assert client.statuses == [400]
    assert "eof" in client.transport.done


@running
async def test_no_more_of_a_body_is_read_than_the_application_asks_for() -> None:
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await echo(scope, receive, send)

    client = Client(slow)
    size, piece = 1 << 20, 16_384
    await client.send(request(b"/x", b"Content-Length: %d" % size, method=b"POST"))
    sent = 0
    # A transport that is paused delivers no more.
    while client.transport.done[-1:] != ["pause"]:
        await client.send(b"b" * piece)
        sent += piece
    assert len(client.connection._exchanges[0].body) <= asgi_module._MOST_AHEAD + piece
    assert sent <= asgi_module._MOST_AHEAD + 2 * piece
    go_on.set()
    await client.settle()
    while sent < size:
        assert client.transport.done[-1] == "resume"
        await client.send(b"b" * piece)
        sent += piece
    assert client.bodies == [["POST", "/x", "", [], "b" * size]]


@running
async def test_an_application_waits_for_a_client_that_does_not_read() -> None:
    pieces = 0

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal pieces
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(5):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            pieces += 1
        await send({"type": "http.response.body"})

    client = Client(stream)
    client.connection.data_received(GET)
    client.connection.pause_writing()
    await client.settle()
    assert pieces == 0
    client.connection.resume_writing()
    await client.settle()
    assert pieces == 5


@running
async def test_a_client_that_leaves_is_noticed_after_it_did_not_read() -> None:
    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    client = Client(waiting)
    await client.send(GET)
    client.connection.pause_writing()
    client.connection.resume_writing()
    assert client.transport.done[-1] == "resume"
    for task in client.connection._tasks:
        task.cancel()


@running
async def test_a_client_that_ends_may_have_left() -> None:
    """A closed connection looks the same: streams must end, and an answer may still be read."""
    messages: list[str] = []

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        messages.extend([(await receive())["type"], (await receive())["type"]])
        await answer(send, 200, b"{}")

    client = Client(waiting)
    await client.send(GET)
    assert client.connection.eof_received()
    await client.settle()
    assert messages == ["http.request", "http.disconnect"]
    assert client.statuses == [200]
    assert not client.connection.eof_received()


@running
async def test_nothing_is_received_behind_the_answer() -> None:
    """What listens for a client that leaves comes to an end."""
    messages: list[str] = []

    async def listening(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            messages.extend([(await receive())["type"], (await receive())["type"]])

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await answer(send, 200, b"{}")
        await listener

    client = Client(listening)
    await client.send(GET)
    assert messages == ["http.request", "http.disconnect"]
    assert not client.connection._tasks


@running
async def test_what_follows_does_not_time_out_during_an_answer() -> None:
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answer(send, 200, b"{}")

    client = Client(slow)
    await client.send(GET + b"GET /half HTTP/1.1\r\n")
    client.wait(10 * IDLE_SECONDS)
    assert client.transport.done == []
    go_on.set()
    await client.settle()
    assert client.statuses == [200]
    client.wait(HEAD_SECONDS - 1)
    assert client.statuses == [200]
    client.wait(1)
    assert client.statuses == [200, 408]


@running
async def test_an_answer_in_the_middle_of_a_body_has_an_end() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"{}")

    client = Client(early)
    await client.send(request(b"/x", b"Content-Length: 9", method=b"POST"), b"b")
    client.wait(2)
    assert client.transport.done == ["eof"]
    client.wait(2)
    assert client.transport.done == ["eof", "abort"]


@running
async def test_a_connection_with_an_answer_in_progress_is_not_closed_for_a_new_one() -> None:
    """Unless the request is still arriving, or the client doesn't read: both take no effort."""
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await answer(send, 200, b"{}")

    client = Client(slow)
    said: list[str] = []
    client.server.busy = lambda _: said.append("busy")  # type: ignore[method-assign]
    client.server.idle = lambda _: said.append("idle")  # type: ignore[method-assign]
    await client.send(request(b"/x", b"Content-Length: 4", method=b"POST"), b"bod")
    assert said == []
    await client.send(b"y")
    assert said == ["busy"]
    client.connection.pause_writing()
    assert said == ["busy", "idle"]
    client.connection.resume_writing()
    assert said == ["busy", "idle", "busy"]
    go_on.set()
    await client.settle()
    assert said == ["busy", "idle", "busy", "idle"]


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("raises", [False, True])
@running
async def test_an_application_that_fails(
    started: bool, raises: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """500 if nothing was sent; otherwise the connection is aborted, so that half an answer isn't
    taken for a whole one."""

    secret = "a" + " secret"

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if raises:
            raise ZeroDivisionError(secret)

    client = Client(failing)
    await client.send(GET)
    if started:
        assert client.transport.done == ["abort"]
        assert b"0\r\n\r\n" not in client.transport.sent
    else:
        assert client.statuses == [500]
    assert ("ZeroDivisionError" in caplog.text) == raises
    assert secret not in caplog.text


@running
async def test_a_cancelled_answer() -> None:
    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    client = Client(cancelled)
    await client.send(GET)
    assert client.transport.done == ["abort"]


@running
async def test_half_a_body_that_the_application_leaves_unanswered_is_400() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await body_of(receive)

    client = Client(silent)
    await client.send(request(b"/x", b"Content-Length: 9", method=b"POST"))
    client.connection.eof_received()
    await client.settle()
    assert client.statuses == [400]


START = "http.response.start"
BODY = "http.response.body"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"X-A", b"1\r\nX-B: 2")],
        [(b"X-A", b"1\n")],
        [(b"X-A", b"1\r")],
        [(b"X-A", b"\0")],
        [(b"X-A: 1\r\nX-B", b"2")],
        [(b"X A", b"1")],
        [(b"", b"1")],
        [(b"Content-Length", b"2"), (b"content-length", b"2")],
        [(b"Content-Length", b"2x")],
        [(b"Content-Length", b"+2")],
        [(b"Content-Length", b"1")],
        [(b"Content-Length", b"3")],
    ],
)
@running
async def test_an_answer_that_could_be_read_in_two_ways_is_not_sent(
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Another client of a proxy would get the rest of it."""

    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"{}", *headers)

    client = Client(wrong)
    await client.send(GET + GET)
    assert client.statuses == [500, 500]


@pytest.mark.parametrize("pieces", [[b"123", b""], [b"1", b"2", b""], [b"1234", b"5"]])
@running
async def test_a_started_answer_of_another_length_is_aborted(pieces: list[bytes]) -> None:
    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": START, "status": 200, "headers": [(b"content-length", b"4")]})
        for piece in pieces[:-1]:
            await send({"type": BODY, "body": piece, "more_body": True})
        await send({"type": BODY, "body": pieces[-1]})

    client = Client(wrong)
    await client.send(GET + SMUGGLED)
    assert client.transport.sent.count(b"HTTP/1.1") == 1
    assert len(client.transport.sent.partition(b"\r\n\r\n")[2]) <= 4
    assert client.transport.done == ["abort"]


@running
async def test_the_framing_of_an_answer_is_the_servers() -> None:
    async def framed(scope: Scope, receive: Receive, send: Send) -> None:
        length, encoding = (b"Content-Length", b"0"), (b"Transfer-Encoding", b"chunked")
        if scope["path"] == "/none":
            await answer(send, 204, b"", length, encoding)
        else:
            await answer(send, 200, b"{}", encoding)

    client = Client(framed)
    await client.send(request(b"/none") + GET)
    assert client.statuses == [204, 200]
    assert client.transport.sent.count(b"content-length") == 1
    assert b"encoding" not in client.transport.sent.lower()


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": BODY, "body": b"x"}],
        [{"type": START, "status": 101, "headers": []}, {"type": BODY}],
        [{"type": START, "status": 200, "headers": []}, {"type": "http.response.trailers"}],
        [{"type": START, "status": 200, "headers": []}],
    ],
)
@running
async def test_messages_that_are_no_answer(messages: list[Message]) -> None:
    async def wrong(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    client = Client(wrong)
    await client.send(GET)
    assert client.statuses == [500]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://a", "/", ""),
        (b"http://a?x=/metrics", "/", "x=/metrics"),
        (b"HTTP://user:secret@a:80/one?x://", "/one", "x://"),
        (b"http://a/one://b/two", "/one://b/two", ""),
        (b"/one?x=http://a/two", "/one", "x=http://a/two"),
        (b"/http://a/two", "/http://a/two", ""),
    ],
)
@running
async def test_an_absolute_target(target: bytes, path: str, query: str) -> None:
    client = Client()
    await client.send(request(target))
    assert client.bodies == [["GET", path, query, [], ""]]


@running
async def test_a_client_that_expects_it_is_told_to_continue() -> None:
    client = Client()
    head = request(b"/x", b"Expect: 100-continue", b"Content-Length: 2", method=b"POST")
    assert (await client.send(head)).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    await client.send(b"ok", GET)
    assert client.statuses == [200, 200]


@running
async def test_a_client_that_has_gone_is_not_told_to_continue() -> None:
    go_on = asyncio.Event()
    received: list[bytes | None] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        received.append(await body_of(receive))

    client = Client(slow)
    await client.send(request(b"/x", b"Expect: 100-continue", b"Content-Length: 2", method=b"POST"))
    client.connection.eof_received()
    client.connection.connection_lost(None)
    go_on.set()
    await client.settle()
    assert received == [None]
    assert client.transport.sent == b""


@running
async def test_a_client_that_waits_to_continue_may_be_refused() -> None:
    """Whether its body follows isn't known then, so nothing more is read."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 403, b"{}")

    client = Client(refusing)
    head = request(b"/x", b"Expect: 100-continue", b"Content-Length: 90", method=b"POST")
    await client.send(head, SMUGGLED)
    assert client.statuses == [403]
    assert b"connection: close" in client.transport.sent


@pytest.mark.parametrize(("size", "goes_on"), [(60_000, True), (70_000, False)])
@running
async def test_a_body_that_nobody_reads_is_skipped_up_to_a_limit(size: int, goes_on: bool) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"{}")

    client = Client(early)
    await client.send(request(b"/x", b"Content-Length: %d" % size, method=b"POST"))
    assert client.statuses == [200]
    body = b"b" * size
    await client.send(*(body[at : at + 10_000] for at in range(0, size, 10_000)), GET)
    assert client.statuses == ([200, 200] if goes_on else [200])
