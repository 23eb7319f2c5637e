"""``/portal/{id}``: the owner's access tokens, on a page to open or to frame.

The code is in the fragment of the address, which browsers don't send. The id alone is no secret; it
selects who may frame the page. A page for an id that doesn't exist is the same, and nobody's to
frame.
"""

from fastapi import Request
from starlette.responses import Response

from gatepass.registry.directory.portal_sessions import origins_of
from gatepass.web.caller import node_of
from gatepass.web.pages.layout.headers import allow_framing
from gatepass.web.pages.layout.screen import page_router
from gatepass.web.pages.layout.templating import render

router = page_router()


@router.get("/portal/{id}")
def page(request: Request, id: str) -> Response:
    """The page. No credential is read."""
    node = node_of(request)
    now = node.clock.now()
    with node.database.read(now) as reading:
        origins = origins_of(reading, id)
    return allow_framing(render("portal.html", visitor=None, now=now), origins)
