"""/company/users/{id}/handed-over: the access tokens of a user who left, to be rotated."""

from starlette.responses import Response

from gatepass.registry.directory import user_search
from gatepass.registry.tokens import hand_over
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.screen import CurrentScreen, page_router

_SHOWN = 100

router = page_router()


@router.get("/company/users/{id}/handed-over")
def show(screen: CurrentScreen, id: str) -> Response:
    """The tokens that were handed over when the user was deactivated."""
    screen.require("users:manage")
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, id)
        tokens = hand_over.handed_over_by(reading, user, limit=_SHOWN)
    if not tokens.count:
        return see_other(f"{USERS.path}?done=deactivated" if user.deactivated_at else USERS.path)
    return screen.render(
        "company/user_handed_over.html",
        user=user,
        tokens=tokens.latest,
        token_count=tokens.count,
        rotatable=any(screen.visitor.may_rotate(token) for token in tokens.latest),
    )
