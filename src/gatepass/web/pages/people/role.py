"""/company/users/{id}/role: change a user's role."""

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.display_text import isolated, marked
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.node.node import Node
from gatepass.registry.directory import (
    role_records,
    user_privileges,
    user_roles,
    user_search,
    users,
)
from gatepass.registry.directory.role_records import Role
from gatepass.registry.directory.users import User
from gatepass.registry.tokens.of_user import left
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.company.roles import may_hold
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.differences import Difference, Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.wording import counted, role_can

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/company/users/{id}/role")
def show_form(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """The roles to choose from."""
    return _page(node, visitor, _user(node, visitor, id))


@router.post("/company/users/{id}/role")
@resumable
def send_form(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """Save the chosen role, or show what it would change."""
    user = _user(node, visitor, id)
    role, etag = fields.one("role"), fields.one("etag")
    pressed = fields.one("do")
    if pressed == "sentence":
        return render(
            "company/sentence.html",
            visitor=visitor,
            now=node.clock.now(),
            sentence=_sentence(node, visitor, user, role),
        )
    if pressed != "save":
        return _page(node, visitor, user, role, etag)
    try:
        with node.database.write(node.clock.now()) as change:
            user_roles.change_role(change, visitor.actor, id, role=role, if_match=[etag])
    except InvalidInput:
        problem = "Choose a role." if not role else "This role no longer exists. Choose another."
        return _page(node, visitor, user, role, etag, problem, 422)
    except Forbidden as error:
        if error.permission is None:
            raise
        return _page(node, visitor, user, role, etag, error.message, 403)
    except Conflict as error:
        if error.reason != "changed_meanwhile":
            raise
        return _changed_meanwhile(node, visitor, id, role)
    except Unavailable as error:
        return _page(node, visitor, user, role, etag, not_saved(error), 503)
    return see_other(f"{USERS.path}?done=role", confirmed=change.confirmed)


def _changed_meanwhile(node: Node, visitor: Visitor, user_id: str, role: str) -> HTMLResponse:
    user = _user(node, visitor, user_id)
    known = _roles(node, visitor)
    differences = []
    if role != user.role:
        saved, typed = (known[each].name if each in known else each for each in (user.role, role))
        differences.append(Difference("Role", saved, typed))
    with node.database.read(node.clock.now()) as reading:
        first = meanwhile(reading, visitor, user_id, differences)
    return _page(node, visitor, user, role, status=409, first=first)


def _page(
    node: Node,
    visitor: Visitor,
    user: User,
    role: str = "",
    etag: str = "",
    problem: str = "",
    status: int = 200,
    first: Meanwhile | None = None,
) -> HTMLResponse:
    known = _roles(node, visitor)
    with node.database.read(node.clock.now()) as reading:
        is_last = user_privileges.is_last_administrator(reading, user)
    offered = [each for each in known.values() if may_hold(node, visitor, each)]
    chosen = role or user.role
    return render(
        "company/user_role.html",
        status,
        visitor=visitor,
        now=node.clock.now(),
        user=user,
        role_name=known[user.role].name if user.role in known else "a deleted role",
        offered=offered,
        withheld=len(known) - len(offered),
        chosen=chosen,
        etag=etag or users.etag(user),
        is_last=is_last,
        problem=problem,
        meanwhile=first,
        sentence=_sentence(node, visitor, user, chosen),
    )


def _sentence(node: Node, visitor: Visitor, user: User, role: str) -> str:
    """The summary of saving *role*."""
    chosen = _roles(node, visitor).get(role)
    if chosen is None:
        return "Choose a role."
    if role == user.role:
        return f"{marked(user.name)} already has the role {marked(chosen.name)}."
    with node.database.read(node.clock.now()) as reading:
        tokens = left(reading, visitor.actor, user.id, limit=0).count
    sentence = f"From their next request, {marked(user.name)} can {role_can(chosen)}."
    if tokens:
        sentence += f" This also limits their {counted(tokens, 'access token')}."
    return sentence


def _roles(node: Node, visitor: Visitor) -> dict[str, Role]:
    with node.database.read(node.clock.now()) as reading:
        return role_records.of_company(reading, node.catalogue, visitor.actor.company or "")


def _user(node: Node, visitor: Visitor, user_id: str) -> User:
    """The user, if this visitor may change their role now.

    Raises:
        Forbidden: they may not, or the user's role holds more than they do.
        Conflict: the account is deactivated.
    """
    visitor.actor.require_signed_in()
    visitor.actor.require("users:manage")
    with node.database.read(node.clock.now()) as reading:
        user = user_search.find(reading, visitor.actor, user_id)
        user_privileges.require_changeable(reading, visitor.actor, user)
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated, so their role can't be changed.",
            reason="user_deactivated",
        )
    return user
