"""/invitations/{token}: accept an invitation by its mailed link."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Busy, InvalidInput
from gatepass.registry.authentication import passwords
from gatepass.registry.directory import role_records
from gatepass.web.caller import node_of
from gatepass.web.credentials import accept_invitation, address_text_of, look_invitation
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.sign_in.links import done_page, link_routers, render_link_form
from gatepass.web.pages.text.forms import Form

router = APIRouter()
_open, _link = link_routers()

_ACCEPTED = "/invitations/accepted"


@_open.get(_ACCEPTED)
def accepted(request: Request) -> Response:
    """The page after an account was created."""
    what = "Sign in with your e-mail address and new password."
    return done_page(request, title="Your account is ready", what=what)


@_link.get("/invitations/{token}")
def show(request: Request, token: str) -> Response:
    """The form, while the link is valid; opening the link doesn't use it up."""
    return _page(request, token)


@_link.post("/invitations/{token}")
async def accept(request: Request, token: str, fields: Form) -> Response:
    """Create the account, once."""
    name = fields.one("name").strip()
    try:
        made = await accept_invitation(request, token, name, fields.one("password"))
    except (InvalidInput, Busy) as error:
        return await run_in_threadpool(_page, request, token, name, refused(error))
    return see_other(_ACCEPTED, confirmed=made.confirmed)


def _page(request: Request, token: str, name: str = "", state: FormState = OPENED) -> HTMLResponse:
    node = node_of(request)
    with node.database.read(node.clock.now()) as reading:
        offer = look_invitation(node.settings, reading, token, address_text_of(request))
        role = role_records.of_company(reading, node.catalogue, offer.company)[offer.role]
    return render_link_form(
        request,
        "links/accept.html",
        state,
        token=token,
        offer=offer,
        role_name=role.name,
        typed=name,
        shortest=passwords.SHORTEST,
    )


# The fixed path first: "accepted" is not a token.
router.include_router(_open)
router.include_router(_link)
