"""/invitations/{token}: what the link in an invitation's mail opens."""

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import BrokenLink, Forbidden, InvalidInput
from gatepass.registry.authentication import passwords
from gatepass.registry.directory import role_records
from gatepass.registry.membership import invitation_links
from gatepass.web.caller import CurrentNode, node_of
from gatepass.web.credentials import accept_invitation, address_text_of
from gatepass.web.pages.layout.after_change import is_unconfirmed, see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import not_from_outside
from gatepass.web.pages.sign_in.links import LinkRoute, broken_page, shut_out_page, signed_in_here
from gatepass.web.pages.text.forms import Form

router = APIRouter(include_in_schema=False)
_afterwards = APIRouter(
    route_class=PageRoute, include_in_schema=False, dependencies=[Depends(not_from_outside)]
)
_following = APIRouter(route_class=LinkRoute, include_in_schema=False)

_ACCEPTED = "/invitations/accepted"


@_afterwards.get(_ACCEPTED)
def accepted(request: Request, node: CurrentNode) -> Response:
    """The way on, for someone who has just got an account."""
    return render(
        "links/done.html",
        visitor=None,
        now=node.clock.now(),
        unconfirmed=is_unconfirmed(request),
        title="Your account is ready",
        what="Sign in with your e-mail address and new password.",
        here=signed_in_here(request),
    )


@_following.get("/invitations/{token}")
def show(request: Request, token: str) -> Response:
    """The form, as long as the link is good; looking doesn't use it up."""
    return _page(request, token)


@_following.post("/invitations/{token}")
async def accept(request: Request, token: str, fields: Form) -> Response:
    """Make the account, once."""
    name = fields.one("name").strip()
    try:
        made = await accept_invitation(request, token, name, fields.one("password"))
    except InvalidInput as error:
        return await run_in_threadpool(_page, request, token, name, dict(error.errors))
    except BrokenLink as error:
        return broken_page(request, error)
    except Forbidden as error:
        if error.reason != "company_address_not_allowed":
            raise
        return shut_out_page(request, error)
    return see_other(_ACCEPTED, confirmed=made.confirmed)


def _page(
    request: Request, token: str, name: str = "", problems: dict[str, str] | None = None
) -> HTMLResponse:
    node = node_of(request)
    try:
        with node.database.read(node.clock.now()) as reading:
            offer = invitation_links.look(reading, token, address_text_of(request))
            role = role_records.of_company(reading, node.catalogue, offer.company)[offer.role]
    except BrokenLink as error:
        return broken_page(request, error)
    except Forbidden as error:
        if error.reason != "company_address_not_allowed":
            raise
        return shut_out_page(request, error)
    return render(
        "links/accept.html",
        422 if problems else 200,
        visitor=None,
        now=node.clock.now(),
        token=token,
        offer=offer,
        role_name=role.name,
        typed=name,
        problems=problems or {},
        shortest=passwords.SHORTEST,
    )


# "accepted" is no token.
router.include_router(_afterwards)
router.include_router(_following)
