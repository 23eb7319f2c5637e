"""/access-tokens/{id}/rotate: replace a token, and show the new one's text once.

A second submit creates no second token: a replaced token isn't replaced again.
"""

from dataclasses import dataclass
from typing import Any, cast, get_args

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.registry.tokens import access_tokens, rotation
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import SILENCE_S, Closing
from gatepass.registry.tokens.rotation_records import Close
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import not_saved
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.widgets.snippets import serves, snippets

#: Why a token isn't rotated whose successor the company's policy forbids.
AGAINST_POLICY = (
    "Not rotated: your company's policy asks for IP addresses, and this token has none. "
    "Edit it first: the new token copies them."
)
#: The durations offered, in seconds.
DURATIONS = ((3_600, "1 hour"), (86_400, "24 hours"), (604_800, "7 days"), (2_592_000, "30 days"))
CLOSINGS = (("now", "Now"), ("after", "After a while"), ("when_silent", "When it is silent"))

_SECONDS = dict(DURATIONS)

router = page_router()


@dataclass(frozen=True)
class RotationForm:
    """The form, as typed.

    Attributes:
        seconds: after which the old token closes, or of its silence; of ``DURATIONS``.
        problem: of the label.
        failure: why nothing was saved.
    """

    close: Close
    seconds: int
    label: str
    problem: str = ""
    failure: str = ""

    @classmethod
    def read(cls, fields: Fields) -> "RotationForm":
        """The form that was sent. An unknown choice means the default."""
        close, seconds = fields.one("close"), fields.one("seconds")
        return cls(
            cast(Close, close) if close in get_args(Close) else "when_silent",
            next((each for each in _SECONDS if str(each) == seconds), SILENCE_S),
            fields.one("label").strip(),
        )

    @property
    def closing(self) -> Closing:
        """As the registry takes it."""
        return Closing(
            self.close,
            after=self.seconds if self.close == "after" else None,
            silent_for=self.seconds if self.close == "when_silent" else None,
            label=self.label or None,
        )


@router.get("/access-tokens/{id}/rotate")
def show_form(screen: CurrentScreen, id: str) -> Response:
    """The form."""
    token = _rotatable(screen, id)
    if token.status != "active" or _is_replaced(token):
        return see_other(f"/access-tokens/{token.id}")
    return _page(screen, token, RotationForm("when_silent", SILENCE_S, token.label))


@router.post("/access-tokens/{id}/rotate")
@resumable
def send_form(request: Request, screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Replace the token, or show the sentence or the form again."""
    token = _rotatable(screen, id)
    form = RotationForm.read(fields)
    pressed = fields.one("do")
    if pressed == "sentence":
        return screen.render("access_tokens/rotation_sentence.html", **_shown(screen, token, form))
    if pressed != "rotate":
        return _page(screen, token, form)
    try:
        with screen.write() as change:
            new, text = rotation.rotate(change, screen.actor, token.id, form.closing)
    except Conflict as error:
        if error.reason == "owner_deactivated":
            raise
        if error.reason == "approval_required":
            return _page(screen, token, _with(form, failure=f"Not rotated: {error.message}"), 409)
        # It was replaced or ended meanwhile, perhaps by this very form.
        return see_other(f"/access-tokens/{token.id}")
    except InvalidInput as error:
        return _page(screen, token, _refused(form, error), 422)
    except Unavailable as error:
        return _page(screen, token, _with(form, failure=not_saved(error, button="Rotate")), 503)
    node = screen.node
    return screen.render(
        "access_tokens/created.html",
        unconfirmed=not change.confirmed,
        token=new,
        replaced=token,
        form=form,
        closes_at=_closes_at(screen, token, form),
        duration=_SECONDS[form.seconds],
        text=text,
        snippets=snippets(
            new, text, catalogue=node.catalogue, settings=node.settings, serves=serves(request)
        ),
    )


def _refused(form: RotationForm, error: InvalidInput) -> RotationForm:
    errors = dict(error.errors)
    if "label" in errors:
        return _with(form, problem=errors["label"])
    # The old token breaks the company's policy in what the form doesn't have.
    return _with(form, failure=AGAINST_POLICY)


def _with(form: RotationForm, *, problem: str = "", failure: str = "") -> RotationForm:
    return RotationForm(form.close, form.seconds, form.label, problem, failure)


def _rotatable(screen: Screen, token_id: str) -> AccessToken:
    """The token, if the visitor may rotate it while it is active.

    Raises:
        Forbidden: they may not.
    """
    with screen.read() as reading:
        token = access_tokens.get(reading, screen.actor, token_id)
    screen.require("access-tokens:create")
    if not screen.visitor.may_rotate(token):
        if token.owner.type != "user":
            screen.require("service-accounts:manage")
        raise Forbidden("Only its owner can rotate an access token of a user.", reason="not_owner")
    return token


def _is_replaced(token: AccessToken) -> bool:
    return token.rotation is not None and token.rotation.replaced_by is not None


def _closes_at(screen: Screen, token: AccessToken, form: RotationForm) -> int:
    return form.closing.closes_at(token.expires_at, screen.now())


def _shown(screen: Screen, token: AccessToken, form: RotationForm) -> dict[str, Any]:
    return {
        "token": token,
        "form": form,
        "closes_at": _closes_at(screen, token, form),
        "duration": _SECONDS[form.seconds],
    }


def _page(
    screen: Screen, token: AccessToken, form: RotationForm, status: int = 200
) -> HTMLResponse:
    return screen.render(
        "access_tokens/rotate.html",
        status,
        durations=DURATIONS,
        closings=CLOSINGS,
        **_shown(screen, token, form),
    )
