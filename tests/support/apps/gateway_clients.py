"""Clients of the gateway endpoints: called with method, path, headers and body."""

import asyncio
from collections.abc import Callable

import httpx

from gatepass.web.body_limits import Bodies
from gatepass.web.gateway.asgi import GatewayPaths
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.sources import NGINX, own_call, source_of
from tests.support.apps.answer import Answer
from tests.support.apps.gateway_application import nothing
from tests.support.grants.grant_fixtures import header_lines
from tests.support.processes.workers import Headers

Ask = Callable[[str, str, Headers, bytes], Answer]
GATEWAY = NGINX.endpoint


def plain(endpoints: Endpoints, peer: str = "127.0.0.1") -> Ask:
    """A client that calls ``Endpoints`` directly."""

    def asking(method: str, path: str, headers: Headers = (), body: bytes = b"") -> Answer:
        lines = header_lines(headers)
        source = source_of(path.encode())
        if source is not None:
            own = own_call(method.encode(), path.encode()) if source.own else None
            reply = endpoints.gateway(peer, lines, source, own)
        else:
            reply = endpoints.serve(path, lines, body)
        found = [(name.decode(), value.decode()) for name, value in reply.headers]
        return Answer(reply.status, found, reply.body)

    return asking


def asgi(endpoints: Endpoints, peer: str = "127.0.0.1") -> Ask:
    """A client that goes through ASGI."""
    transport = httpx.ASGITransport(GatewayPaths(nothing, endpoints, Bodies()), client=(peer, 4711))

    def asking(method: str, path: str, headers: Headers = (), body: bytes = b"") -> Answer:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://gate") as client:
                # Send none of httpx's own headers.
                client.headers.clear()
                raw = [
                    (name, value if isinstance(value, bytes) else value.encode())
                    for name, value in headers
                ]
                return await client.request(method, path, headers=raw, content=body)

        response = asyncio.run(once())
        return Answer(response.status_code, response.headers.multi_items(), response.content)

    return asking
