"""``/demo``: a page in the role of a customer's website.

Its script calls the sample API on another origin, with a token for UI access, so the browser sends
a real preflight and a real Origin.
"""

from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from gatepass.demo.templating import environment
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.headers import CONTENT_SECURITY_POLICY, security_headers

_STATIC = {
    "demo.js": "text/javascript; charset=utf-8",
    "demo.css": "text/css; charset=utf-8",
}


def router(token: str) -> APIRouter:
    """The page's routes.

    Args:
        token: the text of the page's token, visible in the page like on any website that embeds
            one. Its domains keep it from being used elsewhere.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)

    @router.get("/demo")
    def show(request: Request, node: CurrentNode) -> Response:
        port = node.settings.port
        text = environment.get_template("demo.html").render(token=token, port=port)
        response = security_headers(HTMLResponse(text))
        # The only page that calls another origin: the same server by its other name.
        origins = f"http://localhost:{port} http://127.0.0.1:{port}"
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY.replace(
            "connect-src 'self'", f"connect-src {origins}"
        )
        return response

    @router.get("/demo/{name}")
    def static_file(request: Request, name: str) -> Response:
        if name not in _STATIC:
            return Response("There is no such file.", 404, media_type="text/plain")
        content = (files("gatepass.demo") / "static" / name).read_bytes()
        return security_headers(Response(content, media_type=_STATIC[name]))

    return router
