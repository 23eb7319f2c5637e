"""Cross-origin calls from browsers (the Fetch standard's CORS), where the middleware sees to them.

``*`` is right here, and nothing narrower would protect anyone: no cookie or other ambient
credential ever counts, a page must bring a token itself, and where a token may be used its domains
say, call by call. Refusals are readable too, so that a page can show why.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]

_ANY_ORIGIN = (b"access-control-allow-origin", b"*")
_PREFLIGHT_HEADERS = [
    _ANY_ORIGIN,
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    # A wildcard would not cover Authorization.
    (b"access-control-allow-headers", b"authorization, x-access-token, content-type"),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]


def is_preflight(scope: MutableMapping[str, Any]) -> bool:
    """Whether a browser asks if it may make a call. Carries no token by design."""
    names = {name.lower() for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


async def answer_preflight(send: _Send) -> None:
    """It may; the call itself is what gets decided."""
    await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT_HEADERS})
    await send({"type": "http.response.body", "body": b""})


def readable_by_any_page(send: _Send) -> _Send:
    """*send*, with the headers that let a page read the answer, unless the application has some."""

    async def send_readable(message: _Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if all(name.lower() != _ANY_ORIGIN[0] for name, _ in headers):
                headers.append(_ANY_ORIGIN)
                headers.append((b"access-control-expose-headers", b"www-authenticate"))
            message = {**message, "headers": headers}
        await send(message)

    return send_readable
