"""The demo's application: the main port's, a guarded sample API, and pages.

The pages are a website that calls the sample API from a browser, the mails of the demo, and the
style guide.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.demo import mail_page, page
from gatepass.demo.sample_api import sample_api
from gatepass.demo.sample_store import FILE_NAME, SampleStore
from gatepass.embed import GatepassMiddleware
from gatepass.node.node import Node
from gatepass.web import app as web
from gatepass.web.body_limits import MOST_BODY_BYTES, Bodies
from gatepass.web.http_boundary import HttpBoundary
from gatepass.web.pages import styleguide_router

SAMPLE_API = "/demo/v1"


def create_app(node: Node, page_token: str = "") -> ASGIApp:
    """The main port's application in the demo.

    Args:
        page_token: the text of the demo page's access token, which is stored nowhere.
    """
    mail = mail_page.MailDirectory(node.settings.data_dir / mail_page.DIRECTORY)
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
        HttpBoundary(api, Bodies(), unauthenticated=MOST_BODY_BYTES),
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
