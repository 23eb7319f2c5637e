"""What every request passes before the framework and every answer after it: size, HEAD, headers,
and the last ``except``."""

import logging
import traceback

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.bodies import (
    MOST_BODY_BYTES,
    SIGN_IN_BODY_BYTES,
    STRANGERS_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    announced_length,
    discard_small,
    keep_in,
    source_of,
)
from gatepass.web.gateway.asgi import address_of, lines_of, pieces_of
from gatepass.web.problems import Problem, problem_of_status

_SIGN_IN = "/v1/authentications"
# May carry along what was typed before a sign-in ended.
_SIGN_IN_PAGE = "/sign-in"

_NO_PROXIES = TrustedProxies()

_log = logging.getLogger("gatepass.web")


class Edge:
    """Wraps the application.

    - A body that is too large is 413, whether it was announced or trickles in chunk by chunk,
      before anything parses it; one that takes too long is 408, one that breaks off is 400, and
      nothing of it counts. While too much is arriving at once, it is 503 (``bodies``).
    - What is left of a small body is read before the answer goes out.
    - HEAD is answered wherever GET is, with the same headers and no body.
    - What sets no headers of its own isn't stored by anyone, nor guessed at by browsers.
    - An exception that nothing caught becomes a 500 without details. The log gets the place and the
      kind; not the message, which may quote what was sent.

    Args:
        bodies: of this process.
        trusted: the peers that may speak for another address.
        strangers: how large a body may be before the sender's credential is known.
    """

    def __init__(
        self,
        app: ASGIApp,
        bodies: Bodies,
        *,
        trusted: TrustedProxies = _NO_PROXIES,
        strangers: int = STRANGERS_BODY_BYTES,
    ) -> None:
        self._app = app
        self._bodies = bodies
        self._trusted = trusted
        self._strangers = strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._body(scope) as body:
            await self._answer(scope, _Passage(scope, receive, send, body), body)

    def _body(self, scope: Scope) -> Body:
        source = source_of(address_of(scope, self._trusted)[0])
        if _is_sign_in(scope):
            return Body(self._bodies, SIGN_IN_BODY_BYTES, self._bodies.sign_ins, source)
        return Body(self._bodies, self._strangers, self._bodies.strangers, source)

    async def _answer(self, scope: Scope, passage: "_Passage", body: Body) -> None:
        if passage.head:
            scope = {**scope, "method": "GET"}
        keep_in(scope, body)
        if passage.announced is None:
            await _answer(passage, problem_of_status(400))
            return
        if passage.announced > MOST_BODY_BYTES and scope["path"].startswith("/v1/"):
            await _answer(passage, problem_of_status(413))
            return
        try:
            await self._app(scope, passage.receive, passage.send)
        except Exception as error:
            log_unhandled(error)
            if not passage.started:
                await _answer(passage, problem_of_status(500))
            elif not passage.finished:
                raise


def _is_sign_in(scope: Scope) -> bool:
    if scope["path"] != _SIGN_IN_PAGE:
        return bool(scope["path"] == _SIGN_IN)
    announced = announced_length(lines_of(scope)("content-length"))
    return announced is not None and 0 < announced <= SIGN_IN_BODY_BYTES


def log_unhandled(error: BaseException) -> None:
    """Log the place and the kind of an exception nobody expected, and not what it says."""
    _log.error("unhandled %s\n%s", _kinds(error), "".join(_places(error)))


class _Passage:
    """One request's way in and its answer's way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, body: Body) -> None:
        self._receive = receive
        self._next_piece = pieces_of(receive)
        self._send = send
        self._body = body
        self._whole = False
        self._refused: int | None = None
        self._lines = lines_of(scope)
        self.announced = announced_length(self._lines("content-length"))
        self.head = scope["method"] == "HEAD"
        self.started = False
        self.finished = False

    async def receive(self) -> Message:
        if self._refused is not None:
            raise _fault(self._refused)
        if self._whole:
            # What follows is that the client has gone.
            return await self._receive()
        try:
            self._body.expect(self.announced)
            piece, more = await self._next_piece(self._body.deadline)
            self._body.take(len(piece))
        except BodyRefused as refused:
            self._refused = refused.status
            raise _fault(refused.status) from None
        self._whole = not more
        return {"type": "http.request", "body": piece, "more_body": more}

    async def _let_it_end(self) -> bool:
        """Whether what nobody read of the body has come to its end."""
        if self._refused is not None:
            return False
        self._whole = True
        return await discard_small(self._lines, self._next_piece)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message.get("headers", ()))
            if not self._whole and not await self._let_it_end():
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


async def _answer(passage: _Passage, problem: Problem) -> None:
    body = problem.body()
    headers = [(name.encode(), value.encode()) for name, value in problem.headers()]
    headers.append((b"content-length", str(len(body)).encode()))
    await passage.send(
        {"type": "http.response.start", "status": problem.status, "headers": headers}
    )
    await passage.send({"type": "http.response.body", "body": body})


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def _kinds(error: BaseException) -> str:
    return " from ".join(f"{type(e).__module__}.{type(e).__qualname__}" for e in _chain(error))


def _places(error: BaseException) -> list[str]:
    return [line for e in _chain(error) for line in traceback.format_tb(e.__traceback__)]
