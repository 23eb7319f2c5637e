"""``/demo``: a page that stands in for a customer's website. Its script calls the sample API on
another origin, with a token for UI access; so the browser sends a real preflight and a real Origin.
"""

from importlib.resources import files

from fastapi import APIRouter, Request
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from gatepass.web.caller import OurNode
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.headers import CONTENT_SECURITY_POLICY, security_headers
from gatepass.web.pages.layout.static_files import static
from gatepass.web.pages.text.people_text import FILTERS

_STATIC = {
    "demo.js": "text/javascript; charset=utf-8",
    "demo.css": "text/css; charset=utf-8",
}

_environment = Environment(
    loader=ChoiceLoader([PackageLoader("gatepass.demo"), PackageLoader("gatepass.web.pages")]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.filters.update(FILTERS)
_environment.globals.update(static=static)


def router(token: str) -> APIRouter:
    """The page's routes.

    Args:
        token: the text of the token the page begins with. It stands in the page as it would in any
            website that embeds one: what keeps it from being used elsewhere are its domains.
    """
    router = APIRouter(route_class=PageRoute, include_in_schema=False)

    @router.get("/demo")
    def show(request: Request, node: OurNode) -> Response:
        port = node.settings.port
        text = _environment.get_template("demo.html").render(token=token, port=port)
        response = security_headers(HTMLResponse(text))
        # The one page that talks to another origin: the same server by its other name.
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
