"""/company/users/{id}/deactivate: deactivate an account, and decide about its access tokens."""

from starlette.responses import Response

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.directory import user_privileges, user_search
from gatepass.registry.membership import offboarding
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.ending.of_owner import left
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.detail import in_use
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.people.leaver_form import LeaverForm, Outlook, outlook, suggestions
from gatepass.web.pages.text.confirmation import confirmation_problem
from gatepass.web.pages.text.forms import Form

#: With more tokens, there are no choices of single ones.
_MOST_CHOICES = 50
_SHOWN_OF_MORE = 20
#: Refusals that the form explains.
_EXPLAINED = ("role_too_small", "owner_deactivated", "token_deactivated", "too_many")

router = page_router()


@router.get("/company/users/{id}/deactivate")
def ask(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page, with the user's access tokens."""
    return _ask(screen, id, LeaverForm())


@router.post("/company/users/{id}/deactivate")
def deactivate(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Deactivate the account. If its tokens are in use, its name must be typed."""
    form, pressed = LeaverForm.read(fields), fields.one("do")
    screen.actor.require_signed_in()
    screen.require("users:manage")
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, id)
        user_privileges.require_changeable(reading, screen.actor, user)
        tokens = left(reading, screen.actor, user.id, limit=_MOST_CHOICES)
        will_be = outlook(reading, screen, user, tokens, form)
    if pressed == "sentence":
        return screen.render("company/sentence.html", sentence=will_be.sentence)
    if pressed == "preview":
        return _ask(screen, id, form)
    problem = confirmation_problem("name", user.name, user.id, fields.one("name"))
    if user.status == "active":
        if will_be.handling is None:
            return _ask(screen, id, form, 422, refused=True)
        if problem and _is_used(tokens.latest, screen.now()):
            return _ask(screen, id, form, 422, problem=problem)
    try:
        with screen.write() as change:
            offboarding.deactivate(change, screen.actor, id, tokens=will_be.handling)
    except Conflict as conflict:
        if conflict.reason not in _EXPLAINED:
            raise
        return _ask(screen, id, form, 409, refused=True)
    except InvalidInput:
        return _ask(screen, id, form, 422, refused=True)
    handed_over = will_be.handling is not None and will_be.handling.hands_over and tokens.count
    done = f"{USERS.path}/{id}/handed-over" if handed_over else f"{USERS.path}?done=deactivated"
    return see_other(done, confirmed=change.confirmed)


def _is_used(latest: list[AccessToken], now: int) -> bool:
    """Whether a token was used within the last hour; the last used token comes first."""
    return bool(latest) and in_use(latest[0], now)


def _ask(
    screen: Screen,
    id: str,
    form: LeaverForm,
    status: int = 200,
    *,
    refused: bool = False,
    problem: str = "",
) -> Response:
    """The page with the form.

    Args:
        refused: the form was sent, and nothing was changed.
        problem: of the typed name.
    """
    screen.require("users:manage")
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, id)
        user_privileges.require_changeable(reading, screen.actor, user)
        if user.status != "active":
            return see_other(USERS.path)
        theirs = left(reading, screen.actor, user.id, limit=_MOST_CHOICES)
        will_be = (
            outlook(reading, screen, user, theirs, form) if theirs.count else Outlook("", None)
        )
        few = theirs.count <= _MOST_CHOICES
        shown = theirs.latest if few else theirs.latest[:_SHOWN_OF_MORE]
        return screen.render(
            "company/user_deactivate.html",
            status,
            user=user,
            is_self=user.id == screen.actor.user,
            is_last=user_privileges.is_last_administrator(reading, user),
            is_last_operator=user_privileges.is_last_operator(reading, user),
            tokens=shown,
            token_count=theirs.count,
            calls_today=observed_calls.allowed_today(reading, [token.id for token in shown]),
            choose_each=few,
            form=form,
            sentence=will_be.sentence,
            refused=refused,
            suggestions=suggestions(reading, screen, user, theirs) if theirs.count else (),
            typed_name=_is_used(theirs.latest, screen.now()),
            problem=problem,
        )
