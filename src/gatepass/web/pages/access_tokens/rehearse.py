"""/access-tokens/{id}/rehearse: refuse some of a token's calls for a few minutes."""

from dataclasses import dataclass

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Unavailable
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.temporary import rehearsals
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import not_saved
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form

#: The minutes and the shares (percent) offered.
MINUTES = (1, 5, 15, 60)
SHARES = (1, 10, 25, 50, 100)

router = page_router()


@dataclass(frozen=True)
class RehearsalForm:
    """The form, as chosen. ``failure``: why nothing was saved."""

    minutes: int = 5
    share: int = 10
    failure: str = ""

    @classmethod
    def read(cls, fields: Fields, failure: str = "") -> "RehearsalForm":
        """The form that was sent. An unknown choice means the default."""
        minutes, share = (
            next((each for each in offered if str(each) == fields.one(name)), default)
            for name, offered, default in (
                ("minutes", MINUTES, cls.minutes),
                ("share", SHARES, cls.share),
            )
        )
        return cls(minutes, share, failure)


@router.get("/access-tokens/{id}/rehearse")
def show_form(screen: CurrentScreen, id: str) -> Response:
    """The form."""
    token = _token(screen, id)
    if token.status != "active" or token.rehearsal is not None:
        return see_other(f"/access-tokens/{token.id}")
    return _page(screen, token, RehearsalForm())


@router.post("/access-tokens/{id}/rehearse")
@resumable
def send_form(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Start the rehearsal."""
    token, form = _token(screen, id), RehearsalForm.read(fields)
    confirmed = True
    try:
        with screen.write() as change:
            rehearsals.start(change, screen.actor, token.id, minutes=form.minutes, share=form.share)
        confirmed = change.confirmed
    except Conflict:
        # It ended meanwhile, or a rehearsal runs, perhaps by this very form.
        pass
    except Unavailable as error:
        failure = not_saved(error, button="Rehearse")
        return _page(screen, token, RehearsalForm.read(fields, failure), 503)
    return see_other(f"/access-tokens/{token.id}", confirmed=confirmed)


@router.post("/access-tokens/{id}/rehearse/end")
def end(screen: CurrentScreen, id: str) -> Response:
    """End the rehearsal now."""
    token = _token(screen, id)
    with screen.write() as change:
        rehearsals.end(change, screen.actor, token.id)
    return see_other(f"/access-tokens/{token.id}", confirmed=change.confirmed)


def _token(screen: Screen, token_id: str) -> AccessToken:
    """The token, if the visitor may rehearse its deactivation.

    Raises:
        Forbidden: they may not.
    """
    screen.require("access-tokens:deactivate")
    with screen.read() as reading:
        return access_tokens.get(reading, screen.actor, token_id)


def _page(
    screen: Screen, token: AccessToken, form: RehearsalForm, status: int = 200
) -> HTMLResponse:
    return screen.render(
        "access_tokens/rehearse.html",
        status,
        token=token,
        form=form,
        minutes=MINUTES,
        shares=SHARES,
    )
