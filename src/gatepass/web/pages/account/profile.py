"""/account: the user's own profile and name."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.registry.authentication import identities
from gatepass.registry.membership import account
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, refused
from gatepass.web.pages.layout.navigation import MY_PROFILE
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.layout.theme import THEMES
from gatepass.web.pages.text.forms import RESUME, Form

_DONE = {
    "saved": "Name saved.",
    "appearance": "Appearance saved for this browser.",
    "email-stays": "Change cancelled. Your e-mail address stays the same.",
}

router = page_router()


@router.get(MY_PROFILE.path)
def show(screen: CurrentScreen, done: str = "") -> Response:
    """The profile."""
    return _page(screen, FormState(flash=_DONE.get(done, "")))


@router.post(MY_PROFILE.path)
@resumable
def send(screen: CurrentScreen, fields: Form) -> Response:
    """Save the name."""
    name, former = fields.one("name").strip(), fields.one("former")
    if fields.one("do") == RESUME:
        return _page(screen, OPENED, name, former)
    try:
        with screen.write() as change:
            account.rename(change, screen.actor, name, former=former)
    except (InvalidInput, Unavailable) as error:
        return _page(screen, refused(error), name, former)
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        saved = str(error.current)
        differences = [Difference("Name", saved, name)]
        state = screen.changed_meanwhile(screen.actor.user or "", differences)
        return _page(screen, state, name, saved)
    return see_other(f"{MY_PROFILE.path}?done=saved", confirmed=change.confirmed)


def _page(
    screen: Screen, state: FormState, typed: str | None = None, former: str | None = None
) -> HTMLResponse:
    provider = screen.node.provider
    with screen.read() as reading:
        mine = account.get(reading, screen.actor)
        identity = identities.of_user(reading, mine.id)
    return screen.render_form(
        "account/profile.html",
        state,
        account=mine,
        provider=provider and provider.name,
        linked=provider is not None and identity is not None and identity.issuer == provider.issuer,
        typed=mine.name if typed is None else typed,
        former=mine.name if former is None else former,
        post=screen.node.mailing.post.kind,
        themes=THEMES,
    )
