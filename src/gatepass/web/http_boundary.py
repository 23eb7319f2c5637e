"""The ASGI middleware around the framework: body limits, HEAD, default headers, HSTS, and the last
``except``."""

from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.verify.http.client_address import TrustedProxies
from gatepass.verify.http.header_lines import asgi_lines
from gatepass.web.body_limits import (
    MOST_BODY_BYTES,
    REPORT_BODY_BYTES,
    SIGN_IN_BODY_BYTES,
    UNAUTHENTICATED_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    attach_body,
    content_length,
    drain,
    source_of,
)
from gatepass.web.gateway.asgi import address_of, pieces_of, send_reply
from gatepass.web.gateway.reply import Reply
from gatepass.web.problems import Problem, problem_of_status
from gatepass.web.unhandled import log_unhandled

_SIGN_IN = "/v1/authentications"
# Its form may carry text that was typed into another form before the sign-in expired.
_SIGN_IN_PAGE = "/sign-in"
_REPORTS = ("/v1/credentials/revoke", "/v1/credentials/secret-scanning")
# A year, which starts again with each answer. No includeSubDomains: sub-domains are other people's
# servers, which may have no https. No preload: a name stays on browsers' built-in lists for good.
# The domain's owner may promise both, at the proxy.
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")

_NO_PROXIES = TrustedProxies()


class HttpBoundary:
    """Wraps the framework's application.

    - Answers 413 to a body that is too large, whether its length was announced or it arrives in
      chunks, before anything parses it; 408 to one that takes too long, 400 to one that breaks off,
      503 while too many arrive at once (``body_limits``). Nothing of such a body counts.
    - Drains a small body that nobody read before the answer goes out.
    - Answers HEAD wherever GET is answered, with the same headers and no body.
    - Adds ``Cache-Control: no-store`` and ``nosniff`` to answers that set neither themselves.
    - Answers an uncaught exception with a 500 without details. The log gets the exception's type
      and traceback, not its message, which may quote what a client sent.

    Args:
        bodies: the process's budgets.
        trusted: the peers that may forward another address.
        unauthenticated: how large a body may be before the sender authenticates, in bytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        bodies: Bodies,
        *,
        trusted: TrustedProxies = _NO_PROXIES,
        unauthenticated: int = UNAUTHENTICATED_BODY_BYTES,
    ) -> None:
        self._app = app
        self._bodies = bodies
        self._trusted = trusted
        self._unauthenticated = unauthenticated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._body(scope) as body:
            await self._answer(scope, _Exchange(scope, receive, send, body), body)

    def _body(self, scope: Scope) -> Body:
        source = source_of(address_of(scope, self._trusted)[0])
        if _is_sign_in(scope):
            return Body(self._bodies, SIGN_IN_BODY_BYTES, self._bodies.sign_ins, source)
        most = REPORT_BODY_BYTES if scope["path"] in _REPORTS else self._unauthenticated
        return Body(self._bodies, most, self._bodies.unauthenticated, source)

    async def _answer(self, scope: Scope, exchange: "_Exchange", body: Body) -> None:
        if exchange.head:
            scope = {**scope, "method": "GET"}
        attach_body(scope, body)
        if exchange.announced is None:
            await _answer(exchange, problem_of_status(400))
            return
        if exchange.announced > MOST_BODY_BYTES and scope["path"].startswith("/v1/"):
            await _answer(exchange, problem_of_status(413))
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            log_unhandled(error)
            if not exchange.started:
                await _answer(exchange, problem_of_status(500))
            elif not exchange.finished:
                raise


class StrictTransportSecurity:
    """Adds HTTP Strict Transport Security (RFC 6797) to every answer of the main port.

    Only where ``promises_https``: over http browsers ignore the header, and a promise that isn't
    kept would lock people out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], _HSTS]}
            await send(message)

        await self._app(scope, receive, send_with_header)


def promises_https(public_url: str) -> bool:
    """Whether to send HSTS: the URL is https, and its host isn't ``localhost``.

    The promise covers all ports of the host, and on ``localhost`` other programs listen as well.
    """
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    local = host == "localhost" or host.endswith(".localhost")
    return parts.scheme == "https" and not local


def problem_response(problem: Problem) -> Response:
    """*problem* as the framework's response."""
    return Response(problem.body(), problem.status, headers=dict(problem.headers()))


def _is_sign_in(scope: Scope) -> bool:
    if scope["path"] != _SIGN_IN_PAGE:
        return bool(scope["path"] == _SIGN_IN)
    announced = content_length(asgi_lines(scope)("content-length"))
    return announced is not None and 0 < announced <= SIGN_IN_BODY_BYTES


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, body: Body) -> None:
        self._receive = receive
        self._next_piece = pieces_of(receive)
        self._send = send
        self._body = body
        self._body_ended = False
        self._refused: int | None = None
        self._lines = asgi_lines(scope)
        self.announced = content_length(self._lines("content-length"))
        self.head = scope["method"] == "HEAD"
        self.started = False
        self.finished = False

    async def receive(self) -> Message:
        if self._refused is not None:
            raise _fault(self._refused)
        if self._body_ended:
            # The next message says that the client disconnected.
            return await self._receive()
        try:
            self._body.expect(self.announced)
            piece, more = await self._next_piece(self._body.deadline)
            self._body.receive(len(piece))
        except BodyRefused as refused:
            self._refused = refused.status
            raise _fault(refused.status) from None
        self._body_ended = not more
        return {"type": "http.request", "body": piece, "more_body": more}

    async def _drain(self) -> bool:
        """Drain what nobody read of the body; whether it has ended."""
        if self._refused is not None:
            return False
        self._body_ended = True
        return await drain(self._lines, self._next_piece)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message.get("headers", ()))
            if not self._body_ended and not await self._drain():
                headers.append((b"connection", b"close"))
            present = {name.lower() for name, _ in headers}
            headers += [pair for pair in _DEFAULTS if pair[0] not in present]
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.finished = not message.get("more_body", False)
            if self.head:
                message = {**message, "body": b""}
        await self._send(message)


def _fault(status: int) -> HTTPException:
    return HTTPException(status, headers=dict(BodyRefused(status).headers))


_DEFAULTS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


async def _answer(exchange: _Exchange, problem: Problem) -> None:
    await send_reply(exchange.send, Reply.of(problem), head=exchange.head)
