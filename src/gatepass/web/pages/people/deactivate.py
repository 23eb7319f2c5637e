"""/company/users/{id}/deactivate: the end of an account, and of the tokens it leaves behind."""

from fastapi import APIRouter
from starlette.responses import Response

from gatepass.node.node import Node
from gatepass.registry.directory import user_privileges, user_search
from gatepass.registry.membership import offboarding
from gatepass.registry.tokens.of_user import left
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.access_tokens.detail import in_use
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.people_text import is_typed, to_type

_SHOWN = 20

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/company/users/{id}/deactivate")
def ask(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """What it means, and what becomes of their access tokens."""
    return _ask(visitor, node, id)


@router.post("/company/users/{id}/deactivate")
def deactivate(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """End the account. While calls with its tokens come in, only with its name typed."""
    now = node.clock.now()
    tokens = "keep" if fields.one("access_tokens") == "keep" else "deactivate"
    visitor.actor.require_signed_in()
    with node.database.read(now) as reading:
        user = user_search.find(reading, visitor.actor, id)
        theirs = left(reading, visitor.actor, user.id, limit=1).latest
    typed = fields.one("name").strip()
    if (
        user.status == "active"
        and _is_used(theirs, now)
        and not is_typed(typed, user.name, user.id)
    ):
        what = "name" if to_type(user.name, user.id) != user.id else "id"
        problem = f"Must be the {what} shown above." if typed else f"Type the {what} to confirm."
        return _ask(visitor, node, id, tokens, problem)
    with node.database.write(now) as change:
        offboarding.deactivate(
            change,
            visitor.actor,
            id,
            access_tokens="keep" if tokens == "keep" else "deactivate",
        )
    return see_other(f"{USERS.path}?done=deactivated", confirmed=change.confirmed)


def _is_used(latest: list[AccessToken], now: int) -> bool:
    """Whether calls came in within the last hour; the latest used token stands first."""
    return bool(latest) and in_use(latest[0], now)


def _ask(
    visitor: Visitor, node: Node, id: str, tokens: str = "deactivate", problem: str = ""
) -> Response:
    now = node.clock.now()
    visitor.actor.require_signed_in()
    visitor.actor.require("users:manage")
    with node.database.read(now) as reading:
        user = user_search.find(reading, visitor.actor, id)
        user_privileges.require_changeable(reading, visitor.actor, user)
        is_last = user_privileges.is_last_administrator(reading, user)
        is_last_operator = user_privileges.is_last_operator(reading, user)
        theirs = left(reading, visitor.actor, user.id, limit=_SHOWN)
    if user.status != "active":
        return see_other(USERS.path)
    return render(
        "company/user_deactivate.html",
        422 if problem else 200,
        visitor=visitor,
        now=now,
        user=user,
        is_self=user.id == visitor.actor.user,
        is_last=is_last,
        is_last_operator=is_last_operator,
        tokens=theirs.latest,
        token_count=theirs.count,
        chosen=tokens,
        typed_name=_is_used(theirs.latest, now),
        problem=problem,
    )
