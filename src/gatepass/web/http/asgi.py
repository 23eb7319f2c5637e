"""Connections for an ASGI application: one request after the other, each in a task."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from gatepass.web.http.answers import CLOSE, KEEP_ALIVE, header_line, header_lines, rest_of
from gatepass.web.http.connection import Connection, Connections, origin_form
from gatepass.web.problems import problem_of_status
from gatepass.web.unhandled import log_unhandled

#: More of a body than this isn't read ahead of the application.
_MOST_AHEAD = 65_536
#: Requests that arrive during an answer are queued as far as they came in one piece. Each takes
#: dozens of times the memory of its bytes.
_PIECE_BYTES = 2_048
#: Statuses whose answers have no body.
_BODILESS = frozenset((204, 304))


#: Takes a request that can't be read, its status and its reason; returns a header of the answer.
Refused = Callable[[Scope, int, str], tuple[str, str]]


def asgi(app: ASGIApp, refused: Refused | None = None) -> Callable[[Connections], Connection]:
    """Makes connections whose requests *app* answers; *refused* logs those that can't be read."""
    return partial(AsgiConnection, app=app, refused=refused)


class Exchange:
    """One request, and the state of its answer.

    Attributes:
        body: what has arrived of the request's body and wasn't received by the application.
        left: how much of the Content-Length that the application set is still to be sent.
        complete: all of the body has arrived.
        broken: the rest of the body won't arrive.
        changed: set when more of the body has arrived, or won't, or the client is gone.
        state: of the answer.
        chunked: the answer's transfer encoding is chunked.
    """

    def __init__(self, scope: Scope, *, keep_alive: bool, expects: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.expects = expects
        self.body = bytearray()
        self.complete = False
        self.broken = False
        self.received = False
        self.changed = asyncio.Event()
        self.state: Literal["waiting", "started", "finished"] = "waiting"
        self.start: Message = {}
        self.chunked = False
        self.left: int | None = None

    @property
    def is_http_1_0(self) -> bool:
        """Whether the client can't read chunks."""
        return bool(self.scope["http_version"] == "1.0")


class AsgiConnection(Connection):
    """A connection of a client of *app*."""

    piece_bytes = _PIECE_BYTES

    def __init__(self, server: Connections, app: ASGIApp, refused: Refused | None = None) -> None:
        super().__init__(server)
        self._app = app
        self._note_refused = refused
        # The first one is being answered.
        self._exchanges: deque[Exchange] = deque()
        self._arriving: Exchange | None = None
        # The status with which to refuse what follows them.
        self._refused: int | None = None
        # Keeps them from being garbage-collected.
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False
        self._gone = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._addresses: tuple[Any, Any] = (None, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        super().connection_made(transport)
        peer, own = (transport.get_extra_info(name) for name in ("peername", "sockname"))
        self._addresses = (
            peer[:2] if isinstance(peer, tuple) else None,
            own[:2] if isinstance(own, tuple) else None,
        )

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the application."""
        self._ended = self._gone = True
        self._drained.set()
        for exchange in self._exchanges:
            exchange.changed.set()
        super().connection_lost(error)

    def pause_writing(self) -> None:
        """Let the application wait."""
        super().pause_writing()
        self._drained.clear()
        self._mark()

    def resume_writing(self) -> None:
        """Let the application go on."""
        super().resume_writing()
        self._drained.set()
        self._mark()

    def eof_received(self) -> bool:
        """The client sends no more, and may have gone; half a body is a broken one.

        The application is told that it disconnected, so that streams end. What the application
        answers nevertheless is sent.
        """
        self._ended = True
        for exchange in self._exchanges:
            exchange.changed.set()
        if self._arriving is not None:
            self._break_body()
        # True keeps the transport open for the answers.
        return bool(self._exchanges)

    def time_out(self) -> None:
        """Close the connection, except during an answer: the application has limits of its own."""
        if not self._exchanges or self._paused:
            super().time_out()

    def leave(self) -> None:
        """Close once no request is in progress."""
        if not self._exchanges:
            super().leave()

    # --- requests -----------------------------------------------------------------------------

    def head_received(self) -> None:
        """Hand the request to the application, after those before."""
        if self._refused is not None:
            return
        hosts, encodings, expects = 0, [], False
        scope = self._scope()
        for name, value in scope["headers"]:
            if name == b"host":
                hosts += 1
            elif name == b"transfer-encoding":
                encodings.append(value)
            elif name == b"expect":
                if value.lower() != b"100-continue":
                    self.refuse(417)
                    return
                expects = True
        fault = self.fault(hosts, encodings, plain=False)
        if fault is not None:
            self.refuse(fault)
            return
        exchange = Exchange(scope, keep_alive=self.keep_alive, expects=expects)
        self._arriving = exchange
        self._exchanges.append(exchange)
        if len(self._exchanges) == 1:
            self._begin()

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body for the application."""
        exchange = self._arriving
        if exchange is None or exchange.state == "finished" or self._closing:
            super().on_body(piece)
            return
        self._field_bytes = 0
        exchange.body += piece
        exchange.changed.set()
        if len(exchange.body) > _MOST_AHEAD:
            self.hold()

    def on_message_complete(self) -> None:
        """Note that the body is complete."""
        exchange, self._arriving = self._arriving, None
        if self._closing or exchange is None:
            return
        exchange.complete = True
        exchange.changed.set()
        self._mark()
        self._in_body = False
        self._skipped = 0
        self.target = b""
        self.headers = []
        if exchange.state != "finished":
            # What follows is parsed once this request is answered.
            self.hold()
        else:
            self._await_client()

    def skipped_body_broken(self) -> None:
        """Let the application know that no more of the body follows."""
        if self._arriving is not None:
            self._break_body()
        elif not self._exchanges:
            self.close()

    def refuse(self, status: int) -> None:
        """Answer with a problem document, and close."""
        self.keep_alive = False
        if self._arriving is not None:
            self._break_body()
            return
        if self._exchanges:
            # Its turn comes after the answers before.
            if self._refused is None:
                self._refused = status
            self.hold()
            return
        if not self._in_body:
            # It is that of an earlier request.
            self.method = b""
        problem = problem_of_status(status)
        headers = problem.headers()
        if self._note_refused is not None:
            headers = [*headers, self._note_refused(self._scope(), status, problem.reason)]
        lines = header_lines(headers) + CLOSE
        head = self.method == b"HEAD"
        self.respond(status, rest_of(status, lines, problem.body(), head=head))
        self.close()

    def _scope(self) -> Scope:
        """The current request, as far as it could be read."""
        path, _, query = origin_form(self.target).partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self._parser.get_http_version(),
            "method": self.method.decode("ascii"),
            "scheme": "http",
            "path": unquote(path.decode("ascii", "replace")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value.strip(b" \t")) for name, value in self.headers],
            "client": self._addresses[0],
            "server": self._addresses[1],
        }

    # --- the application ----------------------------------------------------------------------

    def _break_body(self) -> None:
        """The body that is arriving won't be complete."""
        exchange, self._arriving = self._arriving, None
        assert exchange is not None
        exchange.broken, exchange.keep_alive = True, False
        exchange.changed.set()
        if exchange.state == "finished":
            self.close()
        else:
            self.hold()

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._run(self._exchanges[0]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, exchange: Exchange) -> None:
        # Until the client reads, the answers to its other requests take no memory.
        await self._drained.wait()
        if self._gone:
            return
        try:
            await self._app(
                exchange.scope, partial(self._receive, exchange), partial(self._send, exchange)
            )
        except Exception as error:
            log_unhandled(error)
        except BaseException:
            self.abort()
            raise
        if exchange.state == "finished" or self._gone:
            return
        if exchange.state == "waiting":
            status = 400 if exchange.broken else 500
            await send_problem(status, partial(self._send, exchange))
        else:
            # The client must not take half an answer for a whole one.
            self.abort()

    def _finish(self, exchange: Exchange) -> None:
        """Go on with the next request, or close."""
        exchange.state = "finished"
        exchange.changed.set()
        self._exchanges.popleft()
        if self._closing or self._gone:
            return
        if not exchange.keep_alive:
            self._exchanges.clear()
            self._mark()
            self.close()
            self.release()
            return
        self._await_client()
        self._mark()
        if not exchange.complete:
            # The rest is skipped, up to a limit.
            exchange.body.clear()
            self._skip(0)
        if self._exchanges:
            self._begin()
        elif self._refused is not None:
            self.refuse(self._refused)
        if not self._exchanges:
            self.release()

    def _mark(self) -> None:
        """Tell the server whether this connection may be closed for a new one.

        Not while it has sent all of a request and reads the answer: it takes no effort to have many
        connections that are idle, send slowly or don't read.
        """
        if self._exchanges and self._exchanges[0].complete and not self._paused:
            self.server.busy(self)
        else:
            self.server.idle(self)

    async def _receive(self, exchange: Exchange) -> Message:
        if exchange.expects and not exchange.body and not exchange.complete:
            exchange.expects = False
            if exchange.state == "waiting" and not self._ended:
                self.send_continue()
        while exchange.state != "finished":
            if exchange.body or (exchange.complete and not exchange.received):
                body = bytes(exchange.body)
                exchange.body.clear()
                exchange.received = exchange.complete
                return {
                    "type": "http.request",
                    "body": body,
                    "more_body": not exchange.complete,
                }
            if self._ended or exchange.broken:
                return {"type": "http.disconnect"}
            exchange.changed.clear()
            if not exchange.complete:
                self.release()
            await exchange.changed.wait()
        return {"type": "http.disconnect"}

    async def _send(self, exchange: Exchange, message: Message) -> None:
        if exchange.state == "finished" or self._gone or self._transport.is_closing():
            return
        if message["type"] == "http.response.start":
            exchange.start = message
            return
        if message["type"] != "http.response.body":
            raise RuntimeError("an answer must be a start and a body")
        body, more = message.get("body", b""), message.get("more_body", False)
        head = b""
        if exchange.state == "waiting":
            head = self._head(exchange, body, more=more)
        bodiless = exchange.scope["method"] == "HEAD" or exchange.start["status"] in _BODILESS
        if exchange.left is not None and not bodiless:
            exchange.left -= len(body)
            if exchange.left < 0 or (exchange.left and not more):
                # The client would read another answer where this one doesn't end.
                raise RuntimeError("the body of an answer must have its Content-Length")
        exchange.state = "started"
        if bodiless:
            data = b""
        elif exchange.chunked:
            data = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            if not more:
                data += b"0\r\n\r\n"
        else:
            data = body
        if head or data:
            self._transport.write(head + data)
        if not more:
            self._finish(exchange)
        if not self._drained.is_set():
            await self._drained.wait()

    def _head(self, exchange: Exchange, body: bytes, *, more: bool) -> bytes:
        status = exchange.start["status"]
        if status < 200:
            raise ValueError("an answer must be a final one")
        lines = [self.server.starts.get(status) or self.server.start_of(status)]
        lengths = []
        for name, value in exchange.start.get("headers", ()):
            lower = name.lower()
            if lower == b"connection":
                if b"close" in value.lower():
                    exchange.keep_alive = False
            elif lower == b"content-length" and status == 204:
                # A 204 has none (RFC 9110, 8.6).
                pass
            elif lower != b"transfer-encoding":
                if lower == b"content-length":
                    lengths.append(value)
                lines.append(header_line(name, value))
        if len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
            raise ValueError("an answer must have one Content-Length")
        exchange.left = int(lengths[0]) if lengths else None
        exchange.chunked = False
        if self.server.stopping or (exchange.expects and not exchange.complete):
            # Without "100 Continue" it isn't known whether the client sends its body.
            exchange.keep_alive = False
        if not lengths and status not in _BODILESS:
            if not more:
                lines.append(b"content-length: %d\r\n" % len(body))
            elif exchange.is_http_1_0:
                exchange.keep_alive = False
            elif exchange.scope["method"] != "HEAD":
                exchange.chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        if not exchange.keep_alive:
            lines.append(CLOSE)
        elif exchange.is_http_1_0:
            lines.append(KEEP_ALIVE)
        return b"".join([*lines, b"\r\n"])


async def send_problem(status: int, send: Callable[[Message], Awaitable[None]]) -> None:
    """Send the problem document of *status*."""
    problem = problem_of_status(status)
    headers = [(name.encode(), value.encode()) for name, value in problem.headers()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": problem.body()})
