"""The same endpoints on the main port: an ASGI wrapper that comes before any framework."""

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.web.authz import GATEWAY, MOST_BODY_BYTES, VERIFY, Endpoints, Lines, Reply
from gatepass.web.gateway_port import refusal

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
    """

    def __init__(self, app: ASGIApp, endpoints: Endpoints) -> None:
        self._app = app
        self._endpoints = endpoints

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
            body = await read_body(receive)
            reply = refusal(body) if isinstance(body, int) else self._endpoints.verify(lines, body)
        elif path == VERIFY:
            reply = refusal(405, ("Allow", "POST"))
        elif path in ("/health/live", "/health/ready"):
            if method not in ("GET", "HEAD"):
                reply = refusal(405, ("Allow", "GET, HEAD"))
            elif path.endswith("live"):
                reply = self._endpoints.live()
            else:
                reply = self._endpoints.ready()
        elif path.startswith("/authz/"):
            reply = refusal(404)
        else:
            await self._app(scope, receive, send)
            return
        await send_reply(send, reply, head=method == "HEAD")


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


async def read_body(receive: Receive) -> bytes | int:
    """The whole body, or the status that refuses it: 413 too large, 400 broken off."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return 400
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            return 413
        if not message.get("more_body", False):
            return bytes(body)


async def send_reply(send: Send, reply: Reply, *, head: bool) -> None:
    """Send one whole answer."""
    headers = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    if reply.status != 204:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
