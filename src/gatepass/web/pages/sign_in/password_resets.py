"""/password-resets: a forgotten password. Neither the response nor its timing, or that of the next,
reveals whether an account exists: see ``reset_requests``."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Busy, InvalidInput
from gatepass.registry.authentication import passwords
from gatepass.registry.membership import password_resets
from gatepass.web.caller import CurrentNode, node_of
from gatepass.web.credentials import address_text_of, look_reset, reset_password
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.sign_in.links import done_page, link_routers, render_link_form, render_open
from gatepass.web.pages.text.forms import Form

_LONGEST = 320
_DONE = "/password-resets/done"

router = APIRouter()
_open, _link = link_routers()


@_open.get("/password-resets")
def show_request(request: Request) -> Response:
    """The form that requests a link."""
    return _request_page(request)


@_open.post("/password-resets")
async def send_request(request: Request, node: CurrentNode, fields: Form) -> Response:
    """The same answer for every address."""
    email = fields.one("email").strip()[:_LONGEST]
    node.reset_requests.take(email, address_text_of(request))
    return _request_page(request, email, asked=True)


@_open.get(_DONE)
def done(request: Request) -> Response:
    """The page after a new password was set."""
    what = "You are signed out everywhere. Sign in with your new password."
    return done_page(request, title="Your new password is set", what=what)


@_link.get("/password-resets/{token}")
def show(request: Request, token: str) -> Response:
    """The form, while the link is valid; opening the link doesn't use it up."""
    return _page(request, token)


@_link.post("/password-resets/{token}")
async def reset(request: Request, token: str, fields: Form) -> Response:
    """Set the new password, once."""
    try:
        confirmed = await reset_password(request, token, fields.one("password"))
    except (InvalidInput, Busy) as error:
        return await run_in_threadpool(_page, request, token, refused(error))
    return see_other(_DONE, confirmed=confirmed)


def _request_page(request: Request, email: str = "", *, asked: bool = False) -> HTMLResponse:
    return render_open(
        request,
        "links/request_reset.html",
        asked=asked,
        email=email,
        post=node_of(request).mailing.post.kind,
        most_an_hour=password_resets.MOST_AN_HOUR,
    )


def _page(request: Request, token: str, state: FormState = OPENED) -> HTMLResponse:
    node = node_of(request)
    with node.database.read(node.clock.now()) as reading:
        account = look_reset(node.settings, reading, token, address_text_of(request))
    shortest = passwords.SHORTEST_WITH_SECOND_FACTOR if account.second_factor else None
    return render_link_form(
        request,
        "links/reset.html",
        state,
        token=token,
        account=account,
        shortest=shortest or passwords.SHORTEST,
    )


# The fixed path first: "done" is not a token.
router.routes.extend((*_open.routes, *_link.routes))
