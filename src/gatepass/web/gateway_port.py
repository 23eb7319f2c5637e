"""The verify port's application: the endpoints for gateways and services, and nothing else.

Speaks RSGI, Granian's own interface, which costs less per request than ASGI. Its header view drops
values that aren't ASCII, so a header whose first line has no readable value is reported as garbage
here. (An unreadable line behind a readable one of the same name can't be seen through it.)
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from gatepass.web.authz import GATEWAY, MOST_BODY_BYTES, VERIFY, Endpoints, Reply
from gatepass.web.in_place import on_the_loop
from gatepass.web.problems import problem_of_status

_PEERS_KEPT = 4_096


class GatewayPort:
    """An RSGI application.

    Args:
        endpoints: what answers.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._peers: dict[str, str] = {}

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request; called by Granian."""
        if scope.proto != "http":
            protocol.close(403)
            return
        path = scope.path
        if path == GATEWAY:
            headers = scope.headers
            reply = self._endpoints.gateway(self._peer(scope.client), partial(_lines, headers))
        else:
            await on_the_loop()
            reply = await self._other(path, scope, protocol)
        if reply.body and scope.method != "HEAD":
            protocol.response_bytes(reply.status, reply.headers, reply.body)
        else:
            protocol.response_empty(reply.status, reply.headers)

    def _peer(self, client: str) -> str:
        """The address of ``address:port``; gateways keep their connections, so few are asked."""
        peer = self._peers.get(client)
        if peer is None:
            peer = client.rpartition(":")[0].strip("[]")
            if len(self._peers) >= _PEERS_KEPT:
                self._peers.clear()
            self._peers[client] = peer
        return peer

    async def _other(self, path: str, scope: Any, protocol: Any) -> Reply:
        headers = scope.headers
        if path == VERIFY:
            if scope.method != "POST":
                return refusal(405, ("Allow", "POST"))
            body = await _body(protocol)
            if body is None:
                return refusal(413)
            announced = headers.get("content-length")
            if announced is not None and announced != str(len(body)):
                # It broke off: half a question isn't decided on.
                return refusal(400)
            return self._endpoints.verify(partial(_lines, headers), body)
        if path in ("/health/live", "/health/ready"):
            if scope.method not in ("GET", "HEAD"):
                return refusal(405, ("Allow", "GET, HEAD"))
            return self._endpoints.live() if path.endswith("live") else self._endpoints.ready()
        return refusal(404)


def refusal(status: int, *more_headers: tuple[str, str]) -> Reply:
    """A problem document for a fault of the request itself."""
    problem = problem_of_status(status, more_headers)
    return Reply(status, problem.headers(), problem.body())


def _lines(headers: Any, name: str) -> Sequence[str | None]:
    if name not in headers:
        return ()
    values: list[str | None] = headers.get_all(name)
    # get gives the first line, None if it can't be read; get_all leaves such lines out.
    return values if headers.get(name) is not None else [None, *values]


async def _body(protocol: Any) -> bytes | None:
    """The whole body, or None if it is too large; a trickle is cut off as soon as it is."""
    chunks, length = [], 0
    async for chunk in protocol:
        length += len(chunk)
        if length > MOST_BODY_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
