"""The verify port's application: the endpoints for gateways and services, and nothing else.

Speaks RSGI, Granian's own interface, which costs less per request than ASGI. Its header view drops
values that aren't ASCII, so a header whose first line has no readable value is reported as garbage
here. (An unreadable line behind a readable one of the same name can't be seen through it.)
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

from gatepass.verify.http.header_lines import Lines
from gatepass.web.body_limits import Bodies, BodyRefused, NextPiece, drain
from gatepass.web.gateway.endpoints import GATEWAY, VERIFY, Endpoints, Reply, refusal
from gatepass.web.gateway.inline_loop import switch_to_loop

_PEERS_KEPT = 4_096


class GatewayPort:
    """An RSGI application.

    Args:
        endpoints: answers the requests.
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
            await switch_to_loop()
            reply = await self._other(path, scope, protocol)
        if reply.body and scope.method != "HEAD":
            protocol.response_bytes(reply.status, reply.headers, reply.body)
        else:
            protocol.response_empty(reply.status, reply.headers)

    async def _other(self, path: str, scope: Any, protocol: Any) -> Reply:
        lines: Lines = partial(_lines, scope.headers)
        next_piece = _pieces_of(protocol)
        if path == VERIFY and scope.method == "POST":
            return await self._endpoints.receive_verify(self._bodies, lines, next_piece)
        reply = self._endpoints.without_body(path, scope.method) or refusal(404)
        return reply.closing(not await drain(lines, next_piece))


@lru_cache(_PEERS_KEPT)
def _address(client: str) -> str:
    """The address of ``address:port``; gateways keep their connections, so few are asked."""
    return client.rpartition(":")[0].strip("[]")


def _lines(headers: Any, name: str) -> Sequence[str | None]:
    if name not in headers:
        return ()
    values: list[str | None] = headers.get_all(name)
    # get returns the first line, None if it can't be read; get_all leaves such lines out.
    return values if headers.get(name) is not None else [None, *values]


def _pieces_of(protocol: Any) -> NextPiece:
    """The pieces of a request's body.

    Granian's coroutines are no tasks, which asyncio's timeouts need. So a timer cancels the future
    that each of them waits for.
    """
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
            # Something keeps the exception, and through its frames the request, whose connection
            # would then stay open.
            error.__traceback__ = None
        finally:
            timer.cancel()
        raise BodyRefused(408)

    return next_piece
