"""/v1/docs: the API reference as a page, under the same policy as every page."""

from functools import lru_cache

from fastapi import Request
from starlette.responses import Response

from gatepass.core.errors import GatepassError
from gatepass.web.api import router as api
from gatepass.web.caller import CurrentNode, NotAdmitted
from gatepass.web.cookies import cookie_name
from gatepass.web.openapi import openapi_document
from gatepass.web.pages.layout.screen import page_router
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visitor, visiting
from gatepass.web.pages.reference.api_reference import Reference, reference

router = page_router()


@router.get("/v1/docs")
def show_docs(request: Request, node: CurrentNode) -> Response:
    """The reference, open to everyone: it describes the software, not its data."""
    settings = node.settings
    return render(
        "docs.html",
        visitor=_visitor(request),
        now=node.clock.now(),
        reference=_reference(cookie_name(settings), settings.public_url),
    )


def _visitor(request: Request) -> Visitor | None:
    try:
        return visiting(request)
    except NotAdmitted as refused:
        if refused.decision.status == 403:
            raise
        return None
    except GatepassError:
        return None


@lru_cache(maxsize=4)
def _reference(cookie: str, base_url: str) -> Reference:
    return reference(openapi_document(api.router, cookie, base_url), base_url)
