"""Middleware that lets an ASGI application see permitted calls only.

::

    app = GatepassMiddleware(
        api,
        open_verifier("/var/lib/gatepass/gatepass.db"),
        permissions={"GET /charges/{id}": "charges:get", "POST /charges": "charges:create"},
    )

It fails closed throughout. A route that nobody named is refused (``route_unknown``), and so is a
path that the application might read differently from us (``path_ambiguous``). The application finds
the decision in ``scope["gatepass"]``.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from gatepass.core.catalogue import Catalogue
from gatepass.core.networks import Network
from gatepass.embed.cors import preflight_answer, readable_by_any_page
from gatepass.embed.gate import Lines, RouteGate
from gatepass.embed.paths import asgi_path
from gatepass.embed.refusal import Refusal
from gatepass.embed.subprotocols import answering, offered_beside_token, without_token
from gatepass.verify.verifier import Verifier

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class GatepassMiddleware:
    """Guards *app*. HTTP and WebSocket alike; a WebSocket's handshake is a GET.

    Args:
        app: the application.
        verifier: decides (``open_verifier``, ``Verifier.follow``).
        permissions: the permission that each route needs, as ``{"GET /charges/{id}":
            "charges:get"}``. Paths are those the application itself routes on: where it is mounted
            under a prefix, without it.
        catalogue: instead of *permissions*, a catalogue, or the path of its file; its routes count.
        exempt: routes that anybody may call without a token, such as ``GET /health``.
        trusted_proxies: networks whose X-Forwarded-For is believed, and ``unix:`` for a peer on a
            Unix socket. Nobody's, unless said.
        cors: let pages of any origin call and read the answers, refusals included: which pages a
            token may be used on, its domains say. Preflights are then answered here: with the
            headers that they ask for and the methods of the routes. Otherwise a preflight is
            refused like any call without a token; put your own CORS middleware *around* this one.

    Raises:
        Misconfigured: not exactly one of *permissions* and *catalogue*, or the file can't be read.
        CatalogueError, RouteError, InvalidNetwork: what was given can't be used.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        *,
        permissions: Mapping[str, str] | None = None,
        catalogue: Catalogue | str | Path | None = None,
        exempt: Iterable[str] = (),
        trusted_proxies: Iterable[str | Network] = (),
        cors: bool = False,
    ) -> None:
        self._app = app
        self._gate = RouteGate(
            verifier,
            permissions=permissions,
            catalogue=catalogue,
            exempt=exempt,
            trusted_proxies=trusted_proxies,
        )
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: refuse it, or hand it to the application with its decision."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            # What can't be guarded isn't passed on.
            raise ValueError(f"an ASGI connection of type {kind!r} can't be guarded")
        method = scope["method"] if kind == "http" else "GET"
        lines = asgi_lines(scope)
        if self._cors and kind == "http":
            preflight = preflight_answer(method, lines, self._gate.methods)
            if preflight is not None:
                await _answer(send, "http", 204, preflight, b"")
                return
            send = _readable_by_any_page(send)
        path, peer, handshake = asgi_path(scope), asgi_peer(scope), kind == "websocket"
        outcome = await self._gate.patiently_async(
            lambda: self._gate.admit(method, path, lines, peer, handshake=handshake)
        )
        if isinstance(outcome, Refusal):
            await _refuse(outcome, scope, receive, send)
            return
        guarded = {**scope, "gatepass": outcome}
        if handshake and (own := offered_beside_token(scope)) is not None:
            guarded |= without_token(scope, own)
            send = answering(send, own)
        await self._app(guarded, receive, send)


def asgi_lines(scope: Scope) -> Lines:
    """Reads the header lines of an ASGI connection."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]

    def lines(name: str) -> list[str | None]:
        wanted = name.encode()
        return [
            value.decode("ascii") if value.isascii() else None
            for key, value in headers
            if key.lower() == wanted
        ]

    return lines


def asgi_peer(scope: Scope) -> str | None:
    """The socket peer's address, if the server tells it."""
    client = scope.get("client")
    return None if client is None else client[0]


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer over HTTP, or in a WebSocket's handshake."""
    prefix = "http"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect; nothing may be sent before
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


def _readable_by_any_page(send: Send) -> Send:
    async def send_readable(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            more = readable_by_any_page(name.decode("latin-1") for name, _ in headers)
            headers += [(name.encode(), value.encode()) for name, value in more]
            message = {**message, "headers": headers}
        await send(message)

    return send_readable
