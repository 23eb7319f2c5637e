"""An ASGI connection that ends when its call would no longer be allowed."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gatepass.core.decision import Decision
from gatepass.verify.verifier import Verifier
from gatepass.verify.watching import Watch

if TYPE_CHECKING:
    import asyncio

#: The code with which WebSockets are closed; the reason is the refusal's.
CLOSE_CODE = 4001

_log = logging.getLogger("gatepass.connections")

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class ConnectionEnded(ConnectionResetError):
    """Raised where an application sends after its connection was ended.

    An OSError, as servers raise once a client has gone.
    """


class GuardedConnection:
    """One connection, from its decision on.

    An ordinary answer isn't watched, and the application that makes one is never interrupted.
    A WebSocket is watched once it is accepted, an answer once it may be a stream: it begins without
    a Content-Length, or its first part isn't the last.

    When one of its calls would no longer be allowed, the application's task is cancelled. Then a
    WebSocket is closed. An answer stays incomplete, and so the server breaks the connection off.
    Other tasks of the application can neither send nor receive any more.

    Args:
        kind: ``http`` or ``websocket``.
        receive, send: the server's.
    """

    def __init__(self, kind: str, receive: _Receive, send: _Send) -> None:
        self._kind = kind
        self._receive = receive
        self._send = send
        self._calls: list[tuple[Verifier, Decision]] = []
        self._watches: list[Watch] = []
        self._watched = False
        self._ended: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._limit: asyncio.Timeout

    def decided(self, verifier: Verifier, decision: Decision) -> None:
        """Add a call on which the connection depends."""
        self._calls.append((verifier, decision))
        if self._watched:
            self._watches.append(verifier.watch(decision, self._refused))

    async def serve(self, app: Callable[[_Receive, _Send], Awaitable[None]]) -> None:
        """Run *app* with the functions through which it must receive and send."""
        # Imported here: commands import this package, and need no event loop.
        import asyncio

        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            # Another kind of event loop (trio), whose tasks can't be cancelled from here.
            await app(self._receive, self._send)
            return
        try:
            async with asyncio.timeout(None) as self._limit:
                await app(self._receive_guarded, self._send_guarded)
        except Exception as error:
            if self._ended is None:
                raise
            if not self._limit.expired() or not isinstance(error, TimeoutError):
                # Mostly because it could no longer send. The server would log it as a failure.
                _log.info("an ended application raised %s", type(error).__name__)
        finally:
            self._stop_watching()
        if self._ended is not None and self._kind == "websocket":
            closing = {"type": "websocket.close", "code": CLOSE_CODE, "reason": self._ended}
            # The client may have gone meanwhile.
            with suppress(OSError, RuntimeError):
                await self._send(closing)

    async def _receive_guarded(self) -> _Message:
        message = await self._receive() if self._ended is None else None
        # It may have ended meanwhile, and the client may go on sending.
        if message is not None and self._ended is None:
            return message
        if self._kind == "websocket":
            return {"type": "websocket.disconnect", "code": CLOSE_CODE, "reason": self._ended}
        return {"type": "http.disconnect"}

    async def _send_guarded(self, message: _Message) -> None:
        if self._ended is not None:
            raise ConnectionEnded(f"the call would no longer be allowed: {self._ended}")
        if _completes(message):
            # What the application does afterwards is none of the connection's.
            self._stop_watching()
        elif not self._watched and _goes_on(message):
            self._watched = True
            self._watches = [
                verifier.watch(decision, self._refused) for verifier, decision in self._calls
            ]
        await self._send(message)

    def _refused(self, reason: str) -> None:
        """Called on a thread of the verifier."""
        assert self._loop is not None
        # The loop may have been closed.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, reason)

    def _end(self, reason: str) -> None:
        if self._watched and self._ended is None:
            self._ended = reason
            self._limit.reschedule(0)

    def _stop_watching(self) -> None:
        self._watched = False
        for watch in self._watches:
            watch.cancel()
        self._watches = []


def _goes_on(message: _Message) -> bool:
    """Whether more may follow *message* for long."""
    kind = message["type"]
    if kind == "http.response.start":
        return not any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
    return kind == "websocket.accept" or bool(message.get("more_body"))


def _completes(message: _Message) -> bool:
    kind = message["type"]
    return kind == "websocket.close" or (
        kind == "http.response.body" and not message.get("more_body")
    )
