"""/company/users/{id}/second-factor: the way back for someone who lost phone and recovery codes."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from gatepass.core.errors import Unavailable
from gatepass.registry import second_factor_rule, user_changes, user_search
from gatepass.web.deps import OurNode
from gatepass.web.pages.errors import PageRoute
from gatepass.web.pages.headers import security_headers
from gatepass.web.pages.places import USERS
from gatepass.web.pages.templating import render
from gatepass.web.pages.visitor import Visiting

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/company/users/{id}/second-factor")
def ask(visitor: Visiting, node: OurNode, id: str) -> Response:
    """What it means."""
    visitor.actor.require_signed_in()
    visitor.actor.require("users:manage")
    with node.database.reading(node.clock.now()) as session:
        user = user_search.find(session, visitor.actor, id)
        user_changes.require_of_someone_else(visitor.actor, user)
        user_changes.require_not_above(session, visitor.actor, user)
        required = second_factor_rule.required(session, user.company)
    if not user.second_factor:
        return security_headers(RedirectResponse(USERS.path, 303))
    return render(
        "company/user_second_factor.html",
        visitor=visitor,
        now=node.clock.now(),
        user=user,
        required=required,
    )


@router.post("/company/users/{id}/second-factor")
def turn_off(visitor: Visiting, node: OurNode, id: str) -> Response:
    """Turn it off, and end their sign-ins."""
    try:
        with node.database.changing(node.clock.now()) as session:
            user_changes.turn_off_second_factor(session, visitor.actor, id)
    except Unavailable as error:
        # It is off; only this node hasn't heard yet of the sign-ins' end.
        if error.reason != "not_confirmed":
            raise
    return security_headers(RedirectResponse(f"{USERS.path}?done=second-factor", 303))
