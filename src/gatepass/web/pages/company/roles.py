"""/company/roles: the roles, what each permits, and deleting one."""

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict
from gatepass.registry.audit import search
from gatepass.registry.directory import role_records, roles
from gatepass.registry.directory.role_records import Role
from gatepass.web.pages.company.role_grid import role_grid
from gatepass.web.pages.company.role_strip import role_strips
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, FormState, refused
from gatepass.web.pages.layout.navigation import ROLES
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Form

_HISTORY = 20
_DONE = {
    "created": "Role created. Assign it under Users.",
    "saved": "Saved. The change applies from the next request of everyone with this role.",
    "deleted": "Role deleted.",
}

router = page_router()


@router.get(ROLES.path)
def show_list(screen: CurrentScreen, done: str = "") -> Response:
    """The built-in roles, then the company's own by name."""
    screen.actor.require("roles:get")
    with screen.read() as reading:
        known = role_records.of_company(reading, screen.node.catalogue, screen.company).values()
        people = roles.people(reading, screen.actor)
    return screen.render(
        "company/roles.html",
        roles=known,
        strips=role_strips(screen.node.catalogue, known),
        people=people,
        may_hold=[each.id for each in known if may_hold(screen, each)],
        flash=_DONE.get(done, ""),
    )


@router.get("/company/roles/{id}")
def show(screen: CurrentScreen, id: str, done: str = "") -> Response:
    """One role, as a table of resources and actions."""
    with screen.read() as reading:
        role = roles.get(reading, screen.actor, id, catalogue=screen.node.catalogue)
        people = roles.people(reading, screen.actor).get(role.id, 0)
        history = None
        if screen.actor.may("audit:get") and not role.built_in:
            history = search.list_(reading, screen.actor, subject=role.id, limit=_HISTORY).items
    return screen.render(
        "company/role.html",
        role=role,
        people=people,
        grid=role_grid(screen.node.catalogue, role.permissions),
        is_changeable=not role.built_in and may_hold(screen, role),
        history=history,
        flash=_DONE.get(done, ""),
    )


@router.get("/company/roles/{id}/delete")
def ask(screen: CurrentScreen, id: str) -> Response:
    """The confirmation page."""
    return _ask(screen, id)


@router.post("/company/roles/{id}/delete")
def delete(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Delete the role, if no one has it and it hasn't changed since it was shown."""
    try:
        with screen.write() as change:
            roles.delete(
                change,
                screen.actor,
                id,
                catalogue=screen.node.catalogue,
                if_match=[fields.one("etag")],
            )
    except Conflict as error:
        if error.reason == "changed_meanwhile":
            return _ask(screen, id, screen.changed_meanwhile(id, []))
        if error.reason == "role_in_use":
            return _ask(screen, id, refused(error))
        raise
    return see_other(f"{ROLES.path}?done=deleted", confirmed=change.confirmed)


def may_hold(screen: Screen, role: Role) -> bool:
    """Whether the visitor has everything that *role* permits, and so may assign and change it."""
    return all(map(screen.actor.may, role_records.permits(role, screen.node.catalogue)))


def editable_role(screen: Screen, id: str) -> Role:
    """The role, if the visitor may manage roles and it isn't built in.

    Raises:
        Forbidden: the visitor may not manage roles.
        Conflict: the role is built in.
    """
    screen.require("roles:manage")
    with screen.read() as reading:
        role = roles.find(reading, screen.actor, id, screen.node.catalogue)
    if role.built_in:
        raise Conflict(f"{role.name} is built in and can't be changed.", reason="built_in_role")
    return role


def _ask(screen: Screen, id: str, state: FormState = OPENED) -> HTMLResponse:
    role = editable_role(screen, id)
    with screen.read() as reading:
        people = roles.people(reading, screen.actor).get(role.id, 0)
    return screen.render_form(
        "company/role_delete.html", state, role=role, etag=role_records.etag(role), people=people
    )
