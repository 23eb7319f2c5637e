"""The gateway endpoints on the main port: ASGI middleware in front of the framework."""

import asyncio
import re
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.core.networks import format_address, parse_address
from gatepass.verify.http.client_address import TrustedProxies, client_address
from gatepass.verify.http.header_lines import asgi_lines
from gatepass.web.access_log import TOLD, AccessLog
from gatepass.web.body_limits import Bodies, BodyRefused, NextPiece, drain
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.reply import Reply, refusal
from gatepass.web.gateway.services import PATHS
from gatepass.web.gateway.sources import own_call, source_of

#: Paths that are answered in their plain spelling only.
_PLAIN = ("/access/", "/authz", "/health/", "/metrics", "/v1/")
# Escapes of RFC 3986's unreserved characters, and of the slash.
_needless_escape = re.compile(
    rb"%(?:2[DEF]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])", re.IGNORECASE
).search
# External ids, in which slashes must be encoded and anything may be.
_without_external_ids = partial(
    re.compile(rb"(?<=/)ext(?::|%3A)[^/?]*|(?<=/by-external-id/)[^/?]+", re.IGNORECASE).sub, b""
)


class GatewayPaths:
    """Answers gateways, services with a verifier key, and health; *app* answers all else.

    Requests for our endpoints with percent-encoded spellings of the path are 404.

    Args:
        app: the application behind.
        endpoints: answers gateways and services.
        bodies: the process's budgets.
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
        lines, next_piece = asgi_lines(scope), pieces_of(receive)
        raw_path: bytes = scope.get("raw_path") or b""
        source = source_of(raw_path)
        if source is not None:
            client, own = scope.get("client"), None
            if source.own:
                query = scope["query_string"]
                target = raw_path + b"?" + query if query else raw_path
                own = own_call(method.encode(), target)
            reply = self._endpoints.gateway(client[0] if client else "", lines, source, own)
        elif b"%" in raw_path and _disguised(path, raw_path):
            reply = refusal(404)
        elif path in PATHS and method == "POST":
            reply = await self._endpoints.receive(path, self._bodies, lines, next_piece)
        else:
            found = self._endpoints.without_body(path, method)
            if found is None:
                await self._app(scope, receive, send)
                return
            reply = found.closing(not await drain(lines, next_piece))
        if self._endpoints.logged and TOLD in scope:
            scope[TOLD]["token"], scope[TOLD]["reason"] = reply.told()
        await send_reply(send, reply, head=method == "HEAD")


def _disguised(path: str, raw_path: bytes) -> bool:
    """Whether *path* is ours and was percent-encoded needlessly, which hides it from proxy rules.

    A proxy that denies ``/authz/`` or ``/v1/openapi.json`` may compare the raw path. No client
    needs to encode a letter, digit or slash of it, except in an external id.
    """
    return path.startswith(_PLAIN) and _needless_escape(_without_external_ids(raw_path)) is not None


def address_of(scope: Scope, trusted: TrustedProxies) -> tuple[bytes | None, bool]:
    """The packed client address, and whether X-Forwarded-For is garbage, as ``client_address``.

    The address is None if the socket peer's is unknown.
    """
    client = scope.get("client")
    peer = parse_address(client[0]) if client else None
    if peer is None:
        return None, True
    return client_address(peer, asgi_lines(scope)("x-forwarded-for"), trusted)


def access_log(app: ASGIApp, trusted: TrustedProxies) -> AccessLog:
    """Log the requests of *app*, with the clients' addresses as decisions take them."""

    def address(scope: Scope) -> str | None:
        packed, _ = address_of(scope, trusted)
        return None if packed is None else format_address(packed)

    return AccessLog(app, address)


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


async def send_reply(send: Send, reply: Reply, *, head: bool) -> None:
    """Send an answer."""
    headers = reply.headers
    if reply.status != 204:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
