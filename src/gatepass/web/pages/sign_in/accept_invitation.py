"""/invitations/{token}: accept an invitation by its mailed link, which signs the new user in."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Busy, InvalidInput
from gatepass.registry.authentication import passwords
from gatepass.registry.directory import role_records
from gatepass.web.caller import admit, node_of
from gatepass.web.cookies import same_site, set_login_cookie
from gatepass.web.credentials import accept_invitation, address_text_of, look_invitation
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.layout.visitor import credential_of
from gatepass.web.pages.sign_in.links import done_page, link_routers, render_link_form
from gatepass.web.pages.text.forms import Form

router = APIRouter()
_open, _link = link_routers()

_ACCEPTED = "/invitations/accepted"
#: The first page of a new user who is signed in.
WELCOME = "/welcome"


@_open.get(_ACCEPTED)
def accepted(request: Request) -> Response:
    """The page after an account was created and its user has yet to sign in."""
    what = "Sign in with your e-mail address and new password."
    return done_page(request, title="Your account is ready", what=what)


@_link.get("/invitations/{token}")
def show(request: Request, token: str) -> Response:
    """The form, while the link is valid; opening the link doesn't use it up."""
    return _page(request, token)


@_link.post("/invitations/{token}")
async def accept(request: Request, token: str, fields: Form) -> Response:
    """Create the account, once, and sign its user in."""
    name = fields.one("name").strip()
    signs_in = await run_in_threadpool(_may_sign_in, request)
    try:
        made = await accept_invitation(
            request, token, name, fields.one("password"), sign_in=signs_in
        )
    except (InvalidInput, Busy) as error:
        return await run_in_threadpool(_page, request, token, name, refused(error))
    if made.login is None:
        return see_other(_ACCEPTED, confirmed=made.confirmed)
    response = see_other(WELCOME, confirmed=made.confirmed)
    login = made.login
    set_login_cookie(
        response, node_of(request).settings, login.text, login.authentication.expires_at
    )
    return response


def _may_sign_in(request: Request) -> bool:
    """Whether this browser may be signed in as the new user.

    Not by another site's form: it would sign a visitor in to an account whose invitation and
    password the other site knows. Nor in place of a user who is signed in already.
    """
    return same_site(request) and not _signed_in(request)


def _signed_in(request: Request) -> bool:
    """Whether somebody is, even if they lack a second factor or aren't at a listed address."""
    decision = admit(request, credential_of(request))
    return decision.grant is not None and decision.status != 401


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
router.routes.extend((*_open.routes, *_link.routes))
