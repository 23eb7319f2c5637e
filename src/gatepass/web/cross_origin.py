"""CORS: what pages of other origins can call, and which of their origins an answer names.

A portal session is used on pages of another product, which call the API across origins. A browser
asks before most calls whether it may send them (a preflight), and hands an answer to the page only
if the answer names the page's origin. Preflights reveal nothing and carry no credential, so they
name any origin. An answer names the origin only if it is one of the session's, and never allows
cookies.
"""

from collections.abc import Callable, Collection, Sequence
from re import Pattern
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.core.domains import is_one_of
from gatepass.verify.http.header_lines import asgi_lines
from gatepass.verify.http.request_credentials import read_single

_KEY = "gatepass.cross_origin"
_ASKED_BEFORE = (
    (b"access-control-allow-headers", b"Authorization, Content-Type, If-Match, Idempotency-Key"),
    (b"access-control-max-age", b"600"),
)
# What a page can read of an answer beside the body.
_READABLE = (
    b"access-control-expose-headers",
    b"ETag, Location, Retry-After, Gatepass-Confirmed",
)

F = TypeVar("F", bound=Callable[..., Any])


def cross_origin(dependency: F) -> F:
    """Declare that pages of other origins can call the endpoints with this dependency."""
    dependency.cross_origin = True  # type: ignore[attr-defined]  # read by is_cross_origin
    return dependency


def is_cross_origin(dependency: object) -> bool:
    """Whether ``cross_origin`` declared a function."""
    return getattr(dependency, "cross_origin", False)


def page_origin(request: Request) -> str | None:
    """The request's Origin header; None if it is absent, and "" if it is unreadable."""
    return read_single(asgi_lines(request.scope)("origin"))


def name_origin(request: Request, origins: Collection[str]) -> None:
    """Let the page read the answer if its origin is one of *origins* (in canonical spelling)."""
    answer: _Answer | None = request.scope.get(_KEY)
    if answer is not None and is_one_of(origins, page_origin(request)):
        answer.named = True


class CrossOrigin:
    """Answers the preflights of some endpoints, and adds CORS headers to their answers.

    Args:
        endpoints: the method and the path of each, such as ``/v1/access-tokens/{id}``.
        others: those of the other endpoints, such as ``/v1/access-tokens/deactivate``.
    """

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Sequence[tuple[str, str]],
        *,
        others: Sequence[tuple[str, str]],
    ) -> None:
        self._app = app
        methods: dict[str, list[str]] = {}
        for method, path in sorted(endpoints):
            methods.setdefault(path, []).append(method)
        # A path without an id is that endpoint's own, also where an id would match it.
        self._paths: list[tuple[Pattern[str], bytes]] = [
            (compile_path(path)[0], ", ".join(methods[path]).encode())
            for path in sorted(methods, key=lambda path: "{" in path)
        ]
        # Their last part isn't an id.
        self._others = {path for _, path in others if path not in methods}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or pass the request on."""
        allowed = self._allowed(scope["path"]) if scope["type"] == "http" else None
        if allowed is None:
            await self._app(scope, receive, send)
            return
        lines = asgi_lines(scope)
        origin = (read_single(lines("origin")) or "").encode()
        if scope["method"] == "OPTIONS" and origin and lines("access-control-request-method"):
            headers = [
                (b"access-control-allow-origin", origin),
                (b"access-control-allow-methods", allowed),
                *_ASKED_BEFORE,
                (b"vary", b"Origin"),
            ]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        answer = _Answer(send, origin)
        await self._app({**scope, _KEY: answer}, receive, answer.send)

    def _allowed(self, path: str) -> bytes | None:
        if path in self._others:
            return None
        return next((allowed for known, allowed in self._paths if known.match(path)), None)


class _Answer:
    """The answer to one request.

    Attributes:
        named: whether it names the page's origin.
    """

    def __init__(self, send: Send, origin: bytes) -> None:
        self._send = send
        self._origin = origin
        self.named = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # Even if no origin is named: a cache must not give this answer to another page.
            headers = [*message.get("headers", ()), (b"vary", b"Origin")]
            if self.named:
                headers += [(b"access-control-allow-origin", self._origin), _READABLE]
            message = {**message, "headers": headers}
        await self._send(message)
