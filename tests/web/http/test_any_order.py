"""A connection for an application, whatever happens in whatever order."""

import asyncio
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from gatepass.web.http import asgi as asgi_module
from gatepass.web.http.asgi import AsgiConnection
from gatepass.web.http.connection import UNREAD_SECONDS
from tests.web.http.test_asgi import answer, body_of, chunked, running
from tests.web.http.test_connection import FakeServer, FakeTransport, request

REQUESTS = [
    request(b"/whole"),
    request(b"/whole", method=b"HEAD"),
    request(b"/early", b"Content-Length: 9", body=b"GET / HTT", method=b"POST"),
    request(b"/whole", b"Expect: 100-continue", b"Content-Length: 4", body=b"body", method=b"PUT"),
    request(b"/whole", b"Transfer-Encoding: chunked", body=chunked(b"c" * 30, 7), method=b"POST"),
    request(b"/whole", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\nxyz", method=b"POST"),
    request(b"/stream", b"Connection: upgrade", b"Upgrade: h2c"),
    request(b"/stream").replace(b"1.1", b"1.0"),
    request(b"/until-left"),
    request(b"/broken"),
    request(b"/early", b"Connection: close"),
    request(b"/early", b"Host: b", b"Content-Length: 5", body=b"hello"),
    b"BREW / HTTP/1.1\r\n\r\n",
]


class Transport(FakeTransport):
    """A transport that delivers nothing while it mustn't, and delivers the end again.

    Attributes:
        connection: whose transport it is.
        ended: the client sends no more.
        full: the client doesn't read.
    """

    connection: AsgiConnection

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.ended = False
        self.full = False

    def write(self, data: Any) -> None:
        super().write(data)
        if self.full:
            self.unsent += 70_000
            if self.unsent == 70_000:
                self.connection.pause_writing()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    @property
    def delivers(self) -> bool:
        return self.reading and not self.is_closing()


class World:
    """One connection, its client and its application."""

    def __init__(self, raw: bytes) -> None:
        self.server = FakeServer()
        self.transport = Transport()
        self.connection = AsgiConnection(self.server, self.application)
        self.transport.connection = self.connection
        self.connection.connection_made(self.transport)
        self.go_on = asyncio.Event()
        self.too_late = asyncio.Event()
        self.left = raw
        self.lost = False
        # Not while a request of the client's waits for its turn: until then nothing more is read.
        self.noticed = False

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise ZeroDivisionError
        if scope["path"] == "/whole":
            reading = asyncio.create_task(body_of(receive))
            too_late = asyncio.create_task(self.too_late.wait())
            await asyncio.wait({reading, too_late}, return_when=asyncio.FIRST_COMPLETED)
            status = 408 if not reading.done() else 400 if reading.result() is None else 200
            reading.cancel()
            await answer(send, status, b"{}")
            return
        if scope["path"] == "/early":
            await answer(send, 200, b"{}")
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"a", b"b"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await self.go_on.wait()
        if scope["path"] == "/until-left":
            await body_of(receive)
            assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b""})

    async def settle(self) -> None:
        for _ in range(15):
            self.server.run()
            await asyncio.sleep(0)
            self.lose()

    def lose(self) -> None:
        """What a transport does once it is closing."""
        if self.transport.is_closing() and not self.lost:
            self.lost = True
            self.connection.connection_lost(None)

    async def happen(self, what: int) -> None:
        connection, transport = self.connection, self.transport
        if what >= 0:
            if transport.delivers and not transport.ended and self.left:
                piece, self.left = self.left[: what + 1], self.left[what + 1 :]
                connection.data_received(piece)
        elif what == -1:
            transport.full = True
        elif what == -2:
            transport.full = False
            if transport.unsent and not self.lost:
                transport.unsent = 0
                connection.resume_writing()
        elif what == -3:
            transport.ended = True
        elif what == -4:
            self.go_on.set()
        elif what == -5:
            self.tick()
        if transport.ended and transport.delivers:
            transport.reading = False
            self.noticed = True
            if not connection.eof_received():
                transport.close()
        self.lose()

    @property
    def waits(self) -> bool:
        """Whether the application waits until the client leaves."""
        first = next(iter(self.connection._exchanges), None)
        if first is None or self.noticed or self.connection._paused:
            return False
        return bool(first.scope["path"] == "/until-left")

    async def live(self, happened: list[int], *, reads: bool) -> None:
        """Let things happen; then the client does nothing more, and either reads or doesn't."""
        for what in happened:
            await self.happen(what)
            await self.settle()
        await self.happen(-2 if reads else -1)
        self.too_late.set()
        for _ in range(4 * UNREAD_SECONDS):
            if self.lost:
                break
            await self.happen(-5)
            await self.happen(-4)
            await self.settle()

    def tick(self) -> None:
        self.server.tick += 1
        if self.connection.deadline <= self.server.tick and not self.lost:
            self.connection.time_out()


happenings = st.lists(
    st.integers(min_value=-5, max_value=300) | st.integers(min_value=-5, max_value=-1), max_size=40
)


@example([REQUESTS[0], REQUESTS[6]], [-1, 300], False)
@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=5), happenings, st.booleans())
@running
async def test_a_connection_comes_to_an_end(
    requests: list[bytes], happened: list[int], reads: bool
) -> None:
    """Nothing is sent behind the end of the answers, nobody waits for ever, and no request has more
    than one answer."""
    world = World(b"".join(requests))
    with patch.object(asgi_module, "log_unhandled") as logged:
        await world.live(happened, reads=reads)
    faults = {type(call.args[0]) for call in logged.call_args_list}
    assert faults <= {ZeroDivisionError}
    assert world.lost or world.waits
    for task in world.connection._tasks:
        task.cancel()
    sent = world.transport.sent.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    assert sent.count(b"HTTP/1.1 ") <= len(requests)
