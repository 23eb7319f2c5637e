"""The demo's application: the dashboard and API as always, and beside them a sample API that is
guarded as anybody's would be, a page that calls it from a browser, a page with the mail that would
go out, and the style guide."""

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.demo import mail_page, page
from gatepass.demo.sample_api import sample_api
from gatepass.demo.sample_store import FILE_NAME, SampleStore
from gatepass.embed import GatepassMiddleware
from gatepass.node.node import Node
from gatepass.web import app as web
from gatepass.web.bodies import MOST_BODY_BYTES, Bodies
from gatepass.web.http_boundary import Edge
from gatepass.web.pages import styleguide_router

SAMPLE_API = "/demo/v1"


def create_app(node: Node, page_token: str = "") -> ASGIApp:
    """The main port's application in the demo.

    Args:
        page_token: the demo page's access token, which is written nowhere.
    """
    mail = mail_page.Mail(node.settings.data_dir / mail_page.DIRECTORY)
    node.mailing.post = mail
    # Before the demo page, whose files lie under /demo too.
    routers = [
        mail_page.router(mail),
        page.router(page_token),
        styleguide_router,
    ]
    dashboard = web.create_app(node, routers, beside=[SAMPLE_API])
    api = sample_api(SampleStore(node.settings.data_dir / FILE_NAME))
    guarded = GatepassMiddleware(
        # The guard has admitted every call that gets here.
        Edge(api, Bodies(), strangers=MOST_BODY_BYTES),
        node.verifier,
        catalogue=node.catalogue,
        trusted_proxies=node.settings.trusted_proxies,
        cors=True,
    )

    async def demo(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        asked_for_sample = path == SAMPLE_API or path.startswith(SAMPLE_API + "/")
        await (guarded if asked_for_sample else dashboard)(scope, receive, send)

    return demo
