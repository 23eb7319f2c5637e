"""The verify port's application: the endpoints for gateways and services, and nothing else.

Speaks RSGI, Granian's own interface, which costs less per request than ASGI. Its header view drops
values that aren't ASCII, so a header whose first line has no readable value is reported as garbage
here. (An unreadable line behind a readable one of the same name can't be seen through it.)
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

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
from gatepass.web.gateway.inline_loop import on_the_loop
from gatepass.web.problems import problem_of_status

_PEERS_KEPT = 4_096


class GatewayPort:
    """An RSGI application.

    Args:
        endpoints: what answers.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._bodies = Bodies()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request; called by Granian."""
        if scope.proto != "http":
            protocol.close(403)
            return
        path = scope.path
        if path == GATEWAY:
            headers = scope.headers
            reply = self._endpoints.gateway(_address(scope.client), partial(_lines, headers))
        else:
            await on_the_loop()
            reply = await self._other(path, scope, protocol)
        if reply.body and scope.method != "HEAD":
            protocol.response_bytes(reply.status, reply.headers, reply.body)
        else:
            protocol.response_empty(reply.status, reply.headers)

    async def _other(self, path: str, scope: Any, protocol: Any) -> Reply:
        lines: Lines = partial(_lines, scope.headers)
        if path == VERIFY and scope.method == "POST":
            return await self._verify(lines, protocol)
        reply = self._read_nothing(path, scope.method)
        return reply.closing(not await discard_small(lines, _pieces_of(protocol)))

    def _read_nothing(self, path: str, method: str) -> Reply:
        if path == VERIFY:
            return refusal(405, ("Allow", "POST"))
        if path in ("/health/live", "/health/ready"):
            if method not in ("GET", "HEAD"):
                return refusal(405, ("Allow", "GET, HEAD"))
            return self._endpoints.live() if path.endswith("live") else self._endpoints.ready()
        return refusal(404)

    async def _verify(self, lines: Lines, protocol: Any) -> Reply:
        # Before the body: whoever has no key is told so, and keeps nothing here.
        asker = self._endpoints.asker(lines)
        if isinstance(asker, Reply):
            return asker.closing(not await discard_small(lines, _pieces_of(protocol)))
        try:
            with Body(self._bodies, MOST_BODY_BYTES, self._bodies.services, asker) as body:
                announced = announced_length(lines("content-length"))
                body.expect(announced)
                content = await read(_pieces_of(protocol), body)
                if announced and announced != len(content):
                    # It broke off: half a question isn't decided on.
                    raise BodyRefused(400)
                return self._endpoints.verify(lines, content)
        except BodyRefused as refusal_of_body:
            return refusal(refusal_of_body.status, CLOSE, *refusal_of_body.headers)


def refusal(status: int, *more_headers: tuple[str, str]) -> Reply:
    """A problem document for a fault of the request itself."""
    problem = problem_of_status(status, more_headers)
    return Reply(status, problem.headers(), problem.body())


@lru_cache(_PEERS_KEPT)
def _address(client: str) -> str:
    """The address of ``address:port``; gateways keep their connections, so few are asked."""
    return client.rpartition(":")[0].strip("[]")


def _lines(headers: Any, name: str) -> Sequence[str | None]:
    if name not in headers:
        return ()
    values: list[str | None] = headers.get_all(name)
    # get gives the first line, None if it can't be read; get_all leaves such lines out.
    return values if headers.get(name) is not None else [None, *values]


def _pieces_of(protocol: Any) -> NextPiece:
    """The pieces of a request's body. Granian's coroutines are no tasks, which asyncio's timeouts
    need; what each waits for is cancelled instead."""
    pieces = protocol.__aiter__()

    async def next_piece(deadline: float) -> tuple[bytes, bool]:
        loop = asyncio.get_running_loop()
        try:
            piece = pieces.__anext__()
        except StopAsyncIteration:
            return b"", False
        timer = loop.call_at(deadline, piece.cancel)
        try:
            return await piece, True
        except StopAsyncIteration:
            return b"", False
        except asyncio.CancelledError as error:
            if loop.time() < deadline:
                raise
            # It is kept somewhere, and by its frames the request, whose connection then isn't
            # closed.
            error.__traceback__ = None
        finally:
            timer.cancel()
        raise BodyRefused(408)

    return next_piece
