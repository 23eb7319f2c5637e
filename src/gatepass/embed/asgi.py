"""Middleware that passes only allowed calls to an ASGI application.

::

    app = GatepassMiddleware(
        api,
        open_verifier("/var/lib/gatepass/gatepass.db"),
        permissions={"GET /charges/{id}": "charges:get", "POST /charges": "charges:create"},
    )

It fails closed. It refuses a route without a permission (``route_unknown``), and a path that the
application might parse differently (``path_ambiguous``). The application finds the decision in
``scope["gatepass"]``. A WebSocket or a streaming answer ends when its call would no longer be
allowed (``asgi_connection``).
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import partial
from typing import Any

from gatepass.embed.asgi_connection import GuardedConnection
from gatepass.embed.cors import cors_headers, preflight_answer
from gatepass.embed.middleware import RouteMiddleware
from gatepass.embed.paths import asgi_path
from gatepass.embed.refusal import Refusal
from gatepass.embed.subprotocols import accepting, offered_beside_token, without_token
from gatepass.verify.http.header_lines import asgi_lines

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class GatepassMiddleware(RouteMiddleware[ASGIApp]):
    """Guards an ASGI application: HTTP, and WebSockets, whose handshake is a GET.

    The arguments are those of ``RouteMiddleware``.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: refuse it, or pass it to the application with its decision."""
        kind = scope["type"]
        if kind == "lifespan":
            # Opened at the start, so that the copy is there when the first request is.
            _ = self.verifier
            await self._app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            # Fail closed: pass on nothing that can't be guarded.
            raise ValueError(f"an ASGI connection of type {kind!r} can't be guarded")
        method = scope["method"] if kind == "http" else "GET"
        lines = asgi_lines(scope)
        if self._cors and kind == "http":
            preflight = preflight_answer(method, lines, self._gate.methods)
            if preflight is not None:
                await _answer(send, "http", 204, preflight, b"")
                return
            send = _with_cors_headers(send)
        path, peer, handshake = asgi_path(scope), asgi_peer(scope), kind == "websocket"
        outcome = await self._gate.retry_async(
            lambda: self._gate.admit(method, path, lines, peer, handshake=handshake)
        )
        if isinstance(outcome, Refusal):
            await _refuse(outcome, scope, receive, send)
            return
        guarded = {**scope, "gatepass": outcome}
        if handshake and (own := offered_beside_token(scope)) is not None:
            guarded |= without_token(scope, own)
            send = accepting(send, own)
        if outcome is None:
            await self._app(guarded, receive, send)
            return
        connection = GuardedConnection(kind, receive, send)
        connection.decided(self.verifier, outcome)
        await connection.serve(partial(self._app, guarded))


def asgi_peer(scope: Scope) -> str | None:
    """The socket peer's address; None where the server passes none."""
    client = scope.get("client")
    return None if client is None else client[0]


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal over HTTP, or in a WebSocket's handshake."""
    prefix = "http"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect, before which ASGI allows no message
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            closing = {"code": refusal.close_code, "reason": refusal.reason}
            await send({"type": "websocket.close", **closing})
            return
        prefix = "websocket.http"
    await _answer(send, prefix, refusal.status, refusal.headers, refusal.body)


async def _answer(
    send: Send, prefix: str, status: int, headers: Iterable[tuple[str, str]], body: bytes
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    raw.append((b"content-length", str(len(body)).encode()))
    await send({"type": f"{prefix}.response.start", "status": status, "headers": raw})
    await send({"type": f"{prefix}.response.body", "body": body})


def _with_cors_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            more = cors_headers(name.decode("latin-1") for name, _ in headers)
            headers += [(name.encode(), value.encode()) for name, value in more]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_headers
