"""The demo's application: Gatepass itself, and beside it an API that Gatepass guards."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.demo.sample_api import sample_api
from gatepass.demo.sample_store import SampleStore
from gatepass.embed.asgi import GatepassMiddleware
from gatepass.node import Node
from gatepass.web.app import create_app as create_gatepass
from gatepass.web.pages import styleguide_router

API = "/demo/v1"
STORE = "sample-api.db"


def create_app(node: Node) -> ASGIApp:
    """Make it of a node whose catalogue is the demo's."""
    guarded = GatepassMiddleware(
        sample_api(SampleStore(node.settings.data_dir / STORE)),
        node.verifier,
        catalogue=node.catalogue,
        trusted_proxies=node.settings.trusted_proxies,
        cors=True,
    )
    gatepass = create_gatepass(node, [styleguide_router])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        to_the_api = path == API or path.startswith(API + "/")
        await (guarded if to_the_api else gatepass)(scope, receive, send)

    return app
