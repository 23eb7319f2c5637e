"""/account/password: change the user's own password."""

from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.registry.authentication import passwords
from gatepass.registry.membership import account
from gatepass.web.hashing_pool import Place, hashing
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import FormState, refused
from gatepass.web.pages.layout.navigation import PASSWORD
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form

_DONE = {"changed": "Password changed. You are signed out everywhere else."}

router = page_router()


@router.get(PASSWORD.path)
def show(screen: CurrentScreen, done: str = "") -> Response:
    """The form."""
    return _page(screen, FormState(flash=_DONE.get(done, "")))


# Not resumable: every field is a secret.
@router.post(PASSWORD.path)
async def send(screen: CurrentScreen, fields: Form) -> Response:
    """Change the password."""
    change = partial(
        account.change_password,
        screen.node.reauthentication,
        screen.actor,
        current=fields.one("current_password"),
        new=fields.one("password"),
    )
    try:
        changed = await hashing(Place.of_actor(screen.actor), change)
    except (InvalidInput, TooManyAttempts, Conflict, Unavailable) as error:
        return await run_in_threadpool(_page, screen, refused(error))
    return see_other(f"{PASSWORD.path}?done=changed", confirmed=changed.confirmed)


def _page(screen: Screen, state: FormState) -> HTMLResponse:
    with screen.read() as reading:
        mine = account.get(reading, screen.actor)
    long, short = passwords.SHORTEST, passwords.SHORTEST_WITH_SECOND_FACTOR
    return screen.render_form(
        "account/password.html",
        state,
        account=mine,
        shortest=short if mine.second_factor else long,
    )
