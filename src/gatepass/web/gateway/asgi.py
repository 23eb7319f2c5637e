"""The same endpoints on the main port: an ASGI wrapper that comes before any framework."""

import asyncio
import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.core.networks import parse_address
from gatepass.verify.http.client_address import TrustedProxies, client_address
from gatepass.web.bodies import (
    CLOSE,
    MOST_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    Lines,
    NextPiece,
    announced_length,
    discard_small,
    read,
)
from gatepass.web.gateway.endpoints import GATEWAY, VERIFY, Endpoints, Reply
from gatepass.web.gateway.rsgi import refusal

#: What answers to its plain spelling alone.
_PLAIN = ("/authz", "/health/", "/metrics", "/v1/")
# Escapes of RFC 3986's unreserved characters, and of the slash.
_needless_escape = re.compile(
    rb"%(?:2[DEF]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", re.IGNORECASE
).search


class GatewayPaths:
    """Answers ``/authz/nginx``, ``/v1/verify`` and health; everything else goes on to *app*, except
    requests for our endpoints in another than their plain spelling.

    Args:
        app: what answers the rest.
        endpoints: what answers gateways and services.
        bodies: of this process.
    """

    def __init__(self, app: ASGIApp, endpoints: Endpoints, bodies: Bodies) -> None:
        self._app = app
        self._endpoints = endpoints
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        lines = lines_of(scope)
        if b"%" in (scope.get("raw_path") or b"") and _disguised(path, scope["raw_path"]):
            reply = refusal(404)
        elif path == GATEWAY:
            client = scope.get("client")
            reply = self._endpoints.gateway(client[0] if client else "", lines)
        elif path == VERIFY and method == "POST":
            reply = await self._verify(receive, lines)
        else:
            found = self._read_nothing(path, method)
            if found is None:
                await self._app(scope, receive, send)
                return
            reply = found.closing(not await discard_small(lines, pieces_of(receive)))
        await send_reply(send, reply, head=method == "HEAD")

    def _read_nothing(self, path: str, method: str) -> Reply | None:
        if path == VERIFY:
            return refusal(405, ("Allow", "POST"))
        if path in ("/health/live", "/health/ready"):
            if method not in ("GET", "HEAD"):
                return refusal(405, ("Allow", "GET, HEAD"))
            return self._endpoints.live() if path.endswith("live") else self._endpoints.ready()
        return refusal(404) if path.startswith("/authz/") else None

    async def _verify(self, receive: Receive, lines: Lines) -> Reply:
        # Before the body: whoever has no key is told so, and keeps nothing here.
        asker = self._endpoints.asker(lines)
        if isinstance(asker, Reply):
            return asker.closing(not await discard_small(lines, pieces_of(receive)))
        try:
            with Body(self._bodies, MOST_BODY_BYTES, self._bodies.services, asker) as body:
                body.expect(announced_length(lines("content-length")))
                return self._endpoints.verify(lines, await read_body(receive, body))
        except BodyRefused as refusal_of_body:
            return refusal(refusal_of_body.status, CLOSE, *refusal_of_body.headers)


def _disguised(path: str, raw_path: bytes) -> bool:
    """Whether *path*, of our endpoints, came in a spelling that hides it from a proxy's rules.

    A proxy that denies ``/authz/`` or ``/v1/openapi.json`` may compare the path as it came. Nobody
    has to write a letter, digit or slash of it as an escape.
    """
    return path.startswith(_PLAIN) and _needless_escape(raw_path) is not None


def lines_of(scope: Scope) -> Lines:
    """Reads the headers of a request."""
    raw: list[tuple[bytes, bytes]] = scope["headers"]

    def lines(name: str) -> Sequence[str | None]:
        wanted = name.encode()
        return [
            value.decode("ascii") if value.isascii() else None
            for key, value in raw
            if key == wanted
        ]

    return lines


def address_of(scope: Scope, trusted: TrustedProxies) -> tuple[bytes | None, bool]:
    """The packed address that a request comes from, and whether a forwarding header is garbage, as
    ``client_address``; none if the peer's can't be told."""
    client = scope.get("client")
    peer = parse_address(client[0]) if client else None
    if peer is None:
        return None, True
    return client_address(peer, lines_of(scope)("x-forwarded-for"), trusted)


def pieces_of(receive: Receive) -> NextPiece:
    """The pieces of a request's body."""

    async def next_piece(deadline: float) -> tuple[bytes, bool]:
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise BodyRefused(408) from None
        if message["type"] != "http.request":
            raise BodyRefused(400)
        return message.get("body", b""), message.get("more_body", False)

    return next_piece


async def read_body(receive: Receive, body: Body) -> bytes:
    """The whole body of a request.

    Raises:
        BodyRefused: it isn't whole, too large, or too many are arriving.
    """
    return await read(pieces_of(receive), body)


async def send_reply(send: Send, reply: Reply, *, head: bool) -> None:
    """Send one whole answer."""
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    if reply.status != 204:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
