"""/company/users/{id}/email: change a colleague's e-mail address, once the mailed link is used."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.registry.directory import user_search, users
from gatepass.registry.membership import email_changes, pending_email_changes
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, refused
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import RESUME, Form

_ADDRESS_CONFLICTS = ("email_taken", "invitation_pending")

router = page_router()


@router.get("/company/users/{id}/email")
def show(screen: CurrentScreen, id: str) -> Response:
    """The form."""
    return _page(screen, id)


@router.post("/company/users/{id}/email")
@resumable
def send(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Have the link sent."""
    email, etag = fields.one("email").strip(), fields.one("etag")
    if fields.one("do") == RESUME:
        return _page(screen, id, OPENED, email, etag)
    try:
        with screen.write() as change:
            email_changes.request(change, screen.actor, id, email=email, if_match=[etag])
    except (InvalidInput, TooManyAttempts, Conflict, Unavailable) as error:
        if error.reason == "changed_meanwhile":
            return _page(screen, id, _changed_meanwhile(screen, id, email), email)
        if isinstance(error, Conflict) and error.reason not in _ADDRESS_CONFLICTS:
            raise
        state = refused(error, button="Send link", conflict_at="email")
        return _page(screen, id, state, email, etag)
    screen.node.mailing.wake()
    return see_other(f"{USERS.path}?done=email", confirmed=change.confirmed)


@router.post("/company/users/{id}/email/cancel")
def cancel(screen: CurrentScreen, id: str) -> Response:
    """Cancel the pending change."""
    with screen.write() as change:
        email_changes.cancel(change, screen.actor, id)
    return see_other(f"{USERS.path}?done=email-stays", confirmed=change.confirmed)


def _changed_meanwhile(screen: Screen, user_id: str, email: str) -> FormState:
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, user_id)
    return screen.changed_meanwhile(user_id, [Difference("E-mail address", user.email, email)])


def _page(
    screen: Screen, user_id: str, state: FormState = OPENED, email: str = "", etag: str = ""
) -> HTMLResponse:
    with screen.read() as reading:
        user = email_changes.changeable(reading, screen.actor, user_id)
        waiting = pending_email_changes.pending(reading, user.id)
    return screen.render_form(
        "company/user_email.html",
        state,
        user=user,
        waiting=waiting,
        email=email,
        etag=etag or users.etag(user),
        post=screen.node.mailing.post.kind,
    )
