"""/company/users/{id}/deactivate: deactivate an account, and decide about its access tokens."""

from starlette.responses import Response

from gatepass.registry.directory import user_privileges, user_search
from gatepass.registry.membership import offboarding
from gatepass.registry.tokens.hand_over import Handling
from gatepass.registry.tokens.of_owner import left
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.detail import in_use
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.confirmation import confirmation_problem
from gatepass.web.pages.text.forms import Form

_SHOWN = 20

router = page_router()


@router.get("/company/users/{id}/deactivate")
def ask(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page, with the user's access tokens."""
    return _ask(screen, id)


@router.post("/company/users/{id}/deactivate")
def deactivate(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Deactivate the account. If its tokens are in use, its name must be typed."""
    tokens = "keep" if fields.one("access_tokens") == "keep" else "deactivate"
    screen.actor.require_signed_in()
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, id)
        theirs = left(reading, screen.actor, user.id, limit=1).latest
    problem = confirmation_problem("name", user.name, user.id, fields.one("name"))
    if problem and user.status == "active" and _is_used(theirs, screen.now()):
        return _ask(screen, id, tokens, problem)
    with screen.write() as change:
        offboarding.deactivate(
            change,
            screen.actor,
            id,
            tokens=Handling("keep" if tokens == "keep" else "deactivate"),
        )
    return see_other(f"{USERS.path}?done=deactivated", confirmed=change.confirmed)


def _is_used(latest: list[AccessToken], now: int) -> bool:
    """Whether a token was used within the last hour; the last used token comes first."""
    return bool(latest) and in_use(latest[0], now)


def _ask(screen: Screen, id: str, tokens: str = "deactivate", problem: str = "") -> Response:
    screen.require("users:manage")
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, id)
        user_privileges.require_changeable(reading, screen.actor, user)
        is_last = user_privileges.is_last_administrator(reading, user)
        is_last_operator = user_privileges.is_last_operator(reading, user)
        theirs = left(reading, screen.actor, user.id, limit=_SHOWN)
    if user.status != "active":
        return see_other(USERS.path)
    return screen.render(
        "company/user_deactivate.html",
        422 if problem else 200,
        user=user,
        is_self=user.id == screen.actor.user,
        is_last=is_last,
        is_last_operator=is_last_operator,
        tokens=theirs.latest,
        token_count=theirs.count,
        chosen=tokens,
        typed_name=_is_used(theirs.latest, screen.now()),
        problem=problem,
    )
