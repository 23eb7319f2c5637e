"""/account/email: change the user's own e-mail address, once the mailed link is used."""

from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.registry.membership import account, email_changes
from gatepass.web.hashing_pool import Place, hashing
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.layout.navigation import MY_PROFILE
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import RESUME, Form

_PATH = "/account/email"

router = page_router()


@router.get(_PATH)
def show(screen: CurrentScreen) -> Response:
    """The form."""
    return _page(screen)


@router.post(_PATH)
@resumable
async def send(screen: CurrentScreen, fields: Form) -> Response:
    """Have the link sent."""
    email = fields.one("email").strip()
    if fields.one("do") == RESUME:
        return await run_in_threadpool(_page, screen, email)
    request = partial(
        email_changes.request_own,
        screen.node.reauthentication,
        screen.actor,
        email=email,
        password=fields.one("current_password"),
    )
    try:
        made = await hashing(Place.of_actor(screen.actor), request)
    except (InvalidInput, TooManyAttempts, Conflict, Unavailable) as error:
        conflict_at = "" if error.reason == "changed_meanwhile" else "email"
        state = refused(error, button="Send link", conflict_at=conflict_at)
        return await run_in_threadpool(_page, screen, email, state)
    screen.node.mailing.wake()
    return see_other(MY_PROFILE.path, confirmed=made.confirmed)


@router.post(_PATH + "/cancel")
def cancel(screen: CurrentScreen) -> Response:
    """Cancel the pending change."""
    with screen.write() as change:
        email_changes.cancel_own(change, screen.actor)
    return see_other(f"{MY_PROFILE.path}?done=email-stays", confirmed=change.confirmed)


def _page(screen: Screen, email: str = "", state: FormState = OPENED) -> HTMLResponse:
    with screen.read() as reading:
        mine = account.get(reading, screen.actor)
    return screen.render_form(
        "account/email.html",
        state,
        account=mine,
        email=email,
        post=screen.node.mailing.post.kind,
    )
