"""/email-changes/{token}: confirm a new e-mail address by its mailed link."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gatepass.registry.membership import email_change_links
from gatepass.web.caller import node_of
from gatepass.web.credentials import address_text_of
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.sign_in.links import done_page, link_routers, render_open

router = APIRouter()
_open, _link = link_routers()

_CHANGED = "/email-changes/done"


@_open.get(_CHANGED)
def changed(request: Request) -> Response:
    """The page after the address was changed."""
    what = "Sign in with your new address and your existing password."
    return done_page(request, title="Your e-mail address has changed", what=what, show_user=False)


@_link.get("/email-changes/{token}")
def show(request: Request, token: str) -> Response:
    """What the link does, while it is valid; opening the link doesn't use it up."""
    node = node_of(request)
    with node.database.read(node.clock.now()) as reading:
        offer = email_change_links.look(reading, token, address_text_of(request))
    return render_open(request, "links/email_change.html", token=token, offer=offer)


@_link.post("/email-changes/{token}")
def confirm(request: Request, token: str) -> Response:
    """Change the address, once."""
    node = node_of(request)
    with node.database.write(node.clock.now()) as change:
        email_change_links.use(change, token, address_text_of(request))
    node.mailing.wake()
    return see_other(_CHANGED, confirmed=change.confirmed)


# The fixed path first: "done" is not a token.
router.routes.extend((*_open.routes, *_link.routes))
