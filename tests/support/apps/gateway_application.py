"""The gateway endpoints of the main port, with a stub behind them."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.node.node import Node
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.body_limits import Bodies
from gatepass.web.gateway.asgi import GatewayPaths
from gatepass.web.gateway.endpoints import Endpoints


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 418, which shows that a request was passed on."""
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b"passed on"})


def make(node: Node) -> ASGIApp:
    """Create the application, in a main worker."""
    trusted = TrustedProxies.of(node.settings.trusted_proxies)
    return GatewayPaths(
        nothing, Endpoints(node.verifier, trusted, node.readiness.not_ready), Bodies()
    )
