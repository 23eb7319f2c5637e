"""/email-changes/{token}: what the link in the mail to a new e-mail address opens."""

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import BrokenLink, Forbidden
from gatepass.registry.membership import email_change_links
from gatepass.web.caller import CurrentNode, node_of
from gatepass.web.credentials import address_text_of
from gatepass.web.pages.layout.after_change import is_unconfirmed, see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import not_from_outside
from gatepass.web.pages.sign_in.links import LinkRoute, broken_page, shut_out_page

router = APIRouter(include_in_schema=False)
_afterwards = APIRouter(
    route_class=PageRoute, include_in_schema=False, dependencies=[Depends(not_from_outside)]
)
_following = APIRouter(route_class=LinkRoute, include_in_schema=False)

_CHANGED = "/email-changes/done"


@_afterwards.get(_CHANGED)
def changed(request: Request, node: CurrentNode) -> Response:
    """The way on, for someone whose address has just changed."""
    return render(
        "links/done.html",
        visitor=None,
        now=node.clock.now(),
        unconfirmed=is_unconfirmed(request),
        title="Your e-mail address has changed",
        what="Sign in with your new address and your existing password.",
        here=None,
    )


@_following.get("/email-changes/{token}")
def show(request: Request, token: str) -> Response:
    """What it does, as long as the link is good; looking doesn't use it up."""
    node = node_of(request)
    try:
        with node.database.read(node.clock.now()) as reading:
            offer = email_change_links.look(reading, token, address_text_of(request))
    except (BrokenLink, Forbidden) as error:
        return _refused(request, error)
    return render(
        "links/email_change.html", visitor=None, now=node.clock.now(), token=token, offer=offer
    )


@_following.post("/email-changes/{token}")
def confirm(request: Request, token: str) -> Response:
    """Change the address, once."""
    node = node_of(request)
    try:
        with node.database.write(node.clock.now()) as change:
            email_change_links.use(change, token, address_text_of(request))
    except (BrokenLink, Forbidden) as error:
        return _refused(request, error)
    node.mailing.wake()
    return see_other(_CHANGED, confirmed=change.confirmed)


def _refused(request: Request, error: BrokenLink | Forbidden) -> HTMLResponse:
    if isinstance(error, BrokenLink):
        return broken_page(request, error)
    if error.reason != "company_address_not_allowed":
        raise error
    return shut_out_page(request, error)


# "done" is no token.
router.include_router(_afterwards)
router.include_router(_following)
