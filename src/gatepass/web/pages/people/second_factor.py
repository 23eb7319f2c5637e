"""/company/users/{id}/second-factor: the way back for someone who lost phone and recovery codes."""

from fastapi import APIRouter
from starlette.responses import Response

from gatepass.registry.authentication import totp_policy, totp_reset
from gatepass.registry.directory import user_privileges, user_search
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/company/users/{id}/second-factor")
def ask(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """What it means."""
    visitor.actor.require_signed_in()
    visitor.actor.require("users:manage")
    with node.database.read(node.clock.now()) as reading:
        user = user_search.find(reading, visitor.actor, id)
        totp_reset.require_of_someone_else(visitor.actor, user)
        user_privileges.require_not_above(reading, visitor.actor, user)
        user_privileges.require_no_operator(visitor.actor, user)
        required = totp_policy.required(reading, user.company)
    if not user.second_factor:
        return see_other(USERS.path)
    return render(
        "company/user_second_factor.html",
        visitor=visitor,
        now=node.clock.now(),
        user=user,
        required=required,
    )


@router.post("/company/users/{id}/second-factor")
def turn_off(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """Turn it off, and end their sign-ins."""
    with node.database.write(node.clock.now()) as change:
        totp_reset.turn_off_second_factor(change, visitor.actor, id)
    return see_other(f"{USERS.path}?done=second-factor", confirmed=change.confirmed)
