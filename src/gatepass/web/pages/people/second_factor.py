"""/company/users/{id}/second-factor: turn off the second factor of a user who lost it."""

from starlette.responses import Response

from gatepass.registry.authentication import totp_policy, totp_reset
from gatepass.registry.directory import user_privileges, user_search
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.screen import CurrentScreen, page_router

router = page_router()


@router.get("/company/users/{id}/second-factor")
def ask(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    screen.require("users:manage")
    with screen.read() as reading:
        user = user_search.find(reading, screen.actor, id)
        totp_reset.require_of_someone_else(screen.actor, user)
        user_privileges.require_not_above(reading, screen.actor, user)
        user_privileges.require_no_operator(screen.actor, user)
        required = totp_policy.required(reading, user.company)
    if not user.second_factor:
        return see_other(USERS.path)
    return screen.render("company/user_second_factor.html", user=user, required=required)


@router.post("/company/users/{id}/second-factor")
def turn_off(screen: CurrentScreen, id: str) -> Response:
    """Turn it off, and end the user's sign-ins."""
    with screen.write() as change:
        totp_reset.turn_off_second_factor(change, screen.actor, id)
    return see_other(f"{USERS.path}?done=second-factor", confirmed=change.confirmed)
