"""/company/roles: the roles there are, what each permits, and the end of one."""

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict
from gatepass.node.node import Node
from gatepass.registry.audit import search
from gatepass.registry.directory import role_records, roles
from gatepass.registry.directory.role_records import Role
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.company.role_grid import role_grid
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.differences import Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import ROLES
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Form

_HISTORY = 20
_DONE = {
    "created": "Role created. Assign it under Users.",
    "saved": "Saved. The change applies from the next request of everyone with this role.",
    "deleted": "Role deleted.",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(ROLES.path)
def show_list(visitor: Visiting, node: CurrentNode, done: str = "") -> Response:
    """The built-in roles, then the company's own by name."""
    visitor.actor.require("roles:get")
    with node.database.read(node.clock.now()) as reading:
        known = role_records.of_company(reading, node.catalogue, visitor.actor.company or "")
        people = roles.people(reading, visitor.actor)
    return render(
        "company/roles.html",
        visitor=visitor,
        now=node.clock.now(),
        roles=known.values(),
        people=people,
        may_hold=[each.id for each in known.values() if may_hold(node, visitor, each)],
        flash=_DONE.get(done, ""),
    )


@router.get("/company/roles/{id}")
def show(visitor: Visiting, node: CurrentNode, id: str, done: str = "") -> Response:
    """One role, as a table of resources and actions."""
    with node.database.read(node.clock.now()) as reading:
        role = roles.get(reading, visitor.actor, id, catalogue=node.catalogue)
        people = roles.people(reading, visitor.actor).get(role.id, 0)
        history = None
        if visitor.actor.may("audit:get") and not role.built_in:
            history = search.list_(reading, visitor.actor, subject=role.id, limit=_HISTORY).items
    return render(
        "company/role.html",
        visitor=visitor,
        now=node.clock.now(),
        role=role,
        people=people,
        grid=role_grid(node.catalogue, role.permissions),
        is_changeable=not role.built_in and may_hold(node, visitor, role),
        history=history,
        flash=_DONE.get(done, ""),
    )


@router.get("/company/roles/{id}/delete")
def ask(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """What deleting it means."""
    return _ask(node, visitor, id)


@router.post("/company/roles/{id}/delete")
def delete(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """Delete it, if nobody has it and it is still the role that was shown."""
    try:
        with node.database.write(node.clock.now()) as change:
            roles.delete(
                change,
                visitor.actor,
                id,
                catalogue=node.catalogue,
                if_match=[fields.one("etag")],
            )
    except Conflict as error:
        if error.reason == "changed_meanwhile":
            with node.database.read(node.clock.now()) as reading:
                first = meanwhile(reading, visitor, id, [])
            return _ask(node, visitor, id, first=first, status=409)
        if error.reason == "role_in_use":
            return _ask(node, visitor, id, problem=error.message, status=409)
        raise
    return see_other(f"{ROLES.path}?done=deleted", confirmed=change.confirmed)


def may_hold(node: Node, visitor: Visitor, role: Role) -> bool:
    """Whether *visitor* holds all that *role* permits: only then may they give it, or change it."""
    return all(map(visitor.actor.may, role_records.permits(role, node.catalogue)))


def _ask(
    node: Node,
    visitor: Visitor,
    id: str,
    problem: str = "",
    first: Meanwhile | None = None,
    status: int = 200,
) -> HTMLResponse:
    visitor.actor.require_signed_in()
    visitor.actor.require("roles:manage")
    with node.database.read(node.clock.now()) as reading:
        role = roles.find(reading, visitor.actor, id, node.catalogue)
        people = roles.people(reading, visitor.actor).get(role.id, 0)
    if role.built_in:
        raise Conflict(f"{role.name} is built in and can't be changed.", reason="built_in_role")
    return render(
        "company/role_delete.html",
        status,
        visitor=visitor,
        now=node.clock.now(),
        role=role,
        etag=role_records.etag(role),
        people=people,
        problem=problem,
        meanwhile=first,
    )
