"""What every request passes before the framework and every answer after it: size, HEAD, headers,
and the last ``except``."""

import logging
import traceback

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.web.problems import Problem, problem_of_status

MAX_BODY = 1 << 20

_log = logging.getLogger("gatepass.web")


class Edge:
    """Wraps the application.

    - A body over 1 MiB is 413, whether it was announced or trickles in chunk by chunk, before
      anything parses it. One that breaks off is 400, and nothing of it counts.
    - HEAD is answered wherever GET is, with the same headers and no body.
    - What sets no headers of its own isn't stored by anyone, nor guessed at by browsers.
    - An exception that nothing caught becomes a 500 without details. The log gets the place and the
      kind; not the message, which may quote what was sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = _Passage(receive, send, head=scope["method"] == "HEAD")
        if passage.head:
            scope = {**scope, "method": "GET"}
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit():
            await _answer(passage, problem_of_status(400))
            return
        # Compared by length first: turning thousands of digits into a number takes its time.
        if len(announced) > 19 or int(announced) > MAX_BODY:
            if scope["path"].startswith("/v1/"):
                await _answer(passage, problem_of_status(413))
                return
            # A person is told by a page, as of everything else that is wrong with a form.
            passage.too_large = True
        try:
            await self._app(scope, passage.receive, passage.send)
        except Exception as error:
            log_unhandled(error)
            if not passage.started:
                await _answer(passage, problem_of_status(500))
            elif not passage.finished:
                raise


def log_unhandled(error: BaseException) -> None:
    """Log the place and the kind of an exception nobody expected, and not what it says."""
    _log.error("unhandled %s\n%s", _kinds(error), "".join(_places(error)))


class _Passage:
    """One request's way in and its answer's way out."""

    def __init__(self, receive: Receive, send: Send, *, head: bool) -> None:
        self._receive = receive
        self._send = send
        self._received = 0
        self._whole = False
        self.head = head
        self.too_large = False
        self.started = False
        self.finished = False

    async def receive(self) -> Message:
        if self.too_large:
            raise HTTPException(413)
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > MAX_BODY:
                raise HTTPException(413)
            self._whole = not message.get("more_body", False)
        elif message["type"] == "http.disconnect" and not self._whole:
            # The client is gone, or sent chunks that can't be read: its fault, not ours.
            raise HTTPException(400)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message.get("headers", ()))
            present = {name.lower() for name, _ in headers}
            headers += [pair for pair in _DEFAULTS if pair[0] not in present]
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.finished = not message.get("more_body", False)
            if self.head:
                message = {**message, "body": b""}
        await self._send(message)


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
