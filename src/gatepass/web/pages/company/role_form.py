"""/company/roles/new and /company/roles/{id}/edit: a role of the company's own."""

from dataclasses import dataclass, field
from typing import Self

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.core.permissions import EVERYTHING
from gatepass.node.node import Node
from gatepass.registry.directory import role_records, roles
from gatepass.registry.directory.role_records import Role
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.company.role_grid import forgotten
from gatepass.web.pages.layout.after_change import not_saved, see_other
from gatepass.web.pages.layout.differences import Difference, Meanwhile, meanwhile
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import ROLES
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.text.wording import can
from gatepass.web.pages.widgets.permission_groups import offered, without_covered

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass
class RoleForm:
    """What was typed, kept as typed.

    Attributes:
        etag: the version of the role that is being edited.
        errors: a sentence by field; "" for the form as a whole.
    """

    name: str = ""
    permissions: list[str] = field(default_factory=list)
    etag: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """What a browser sent. Everything covers the rest."""
        chosen = without_covered(fields.all("permissions"))
        return cls(
            name=fields.one("name").strip(),
            permissions=[EVERYTHING] if EVERYTHING in chosen else chosen,
            etag=fields.one("etag"),
        )

    def error(self, name: str) -> str | None:
        """What is wrong with a field, or None."""
        return self.errors.get(name)

    def refuse(self, error: InvalidInput) -> None:
        """Show what the registry found wrong."""
        for name, message in error.errors:
            root = name.partition(".")[0]
            if root == "permissions" and not self.permissions:
                message = "Must have at least one permission."
            self.errors.setdefault(root if root in ("name", "permissions") else "", message)


@router.get("/company/roles/new")
def new(visitor: Visiting, node: CurrentNode) -> Response:
    """The empty form."""
    _require(visitor)
    return _page(node, visitor, RoleForm())


@router.post("/company/roles/new")
@resumable
def create(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Make the role, or show the sentence of what it would permit."""
    _require(visitor)
    form = RoleForm.read(fields)
    if fields.one("do") != "save":
        return _sentence_or_page(node, visitor, form, fields.one("do"))
    try:
        with node.database.write(node.clock.now()) as change:
            role = roles.create(
                change,
                visitor.actor,
                catalogue=node.catalogue,
                name=form.name,
                permissions=form.permissions,
            )
    except (InvalidInput, Forbidden, Conflict, Unavailable) as error:
        return _page(node, visitor, form, status=_refuse(form, error))
    return see_other(f"{ROLES.path}/{role.id}?done=created", confirmed=change.confirmed)


@router.get("/company/roles/{id}/edit")
def edit(visitor: Visiting, node: CurrentNode, id: str) -> Response:
    """The form with what the role is."""
    role = _editable(node, visitor, id)
    kept = sorted(role_records.permits(role, node.catalogue))
    return _page(node, visitor, RoleForm(role.name, kept, role_records.etag(role)), role)


@router.post("/company/roles/{id}/edit")
@resumable
def save(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """Save what changed."""
    role = _editable(node, visitor, id)
    form = RoleForm.read(fields)
    if fields.one("do") != "save":
        return _sentence_or_page(node, visitor, form, fields.one("do"), role)
    # Forms trim; the API doesn't, and older names may be what no new one may be.
    changes: dict[str, object] = {} if form.name == role.name.strip() else {"name": form.name}
    if set(form.permissions) != set(role.permissions):
        changes["permissions"] = form.permissions
    try:
        with node.database.write(node.clock.now()) as change:
            roles.modify(
                change,
                visitor.actor,
                id,
                catalogue=node.catalogue,
                changes=changes,
                if_match=[form.etag],
            )
    except Conflict as error:
        if error.reason == "changed_meanwhile":
            return _changed_meanwhile(node, visitor, id, form)
        return _page(node, visitor, form, role, _refuse(form, error))
    except (InvalidInput, Forbidden, Unavailable) as error:
        return _page(node, visitor, form, role, _refuse(form, error))
    return see_other(f"{ROLES.path}/{id}?done=saved", confirmed=change.confirmed)


def _refuse(form: RoleForm, error: InvalidInput | Forbidden | Conflict | Unavailable) -> int:
    """Put what is wrong beside its field; the status of the answer."""
    if isinstance(error, InvalidInput):
        form.refuse(error)
        return 422
    if isinstance(error, Forbidden):
        if error.permission is None:
            raise error
        form.errors["permissions"] = error.message
        return 403
    if isinstance(error, Conflict):
        form.errors["name" if error.reason == "name_taken" else ""] = error.message
        return 409
    form.errors[""] = not_saved(error, button="the button")
    return 503


def _changed_meanwhile(node: Node, visitor: Visitor, id: str, form: RoleForm) -> HTMLResponse:
    """Both versions beside each other; what was typed stays in the form."""
    role = _editable(node, visitor, id)
    form.etag = role_records.etag(role)
    differences = []
    if form.name != role.name:
        differences.append(Difference("Name", role.name, form.name))
    if set(form.permissions) != set(role.permissions):
        saved, typed = (", ".join(sorted(each)) for each in (role.permissions, form.permissions))
        differences.append(Difference("Permissions", saved, typed or "None"))
    with node.database.read(node.clock.now()) as reading:
        first = meanwhile(reading, visitor, id, differences)
    return _page(node, visitor, form, role, 409, first)


def _sentence_or_page(
    node: Node, visitor: Visitor, form: RoleForm, pressed: str, role: Role | None = None
) -> HTMLResponse:
    if pressed != "sentence":
        return _page(node, visitor, form, role)
    sentence = _sentence(node, visitor, form, role)
    return render("company/sentence.html", visitor=visitor, now=node.clock.now(), sentence=sentence)


def _page(
    node: Node,
    visitor: Visitor,
    form: RoleForm,
    role: Role | None = None,
    status: int = 200,
    first: Meanwhile | None = None,
) -> HTMLResponse:
    chosen, catalogue = form.permissions, node.catalogue
    return render(
        "company/role_form.html",
        status,
        visitor=visitor,
        now=node.clock.now(),
        form=form,
        role=role,
        groups=offered(catalogue, visitor.actor, chosen, built_in=False),
        own_groups=offered(catalogue, visitor.actor, chosen, built_in=True),
        forgotten=[] if role is None else forgotten(catalogue, role.permissions),
        sentence=_sentence(node, visitor, form, role),
        meanwhile=first,
    )


def _sentence(node: Node, visitor: Visitor, form: RoleForm, role: Role | None) -> str:
    """The summary beside the form."""
    if not form.permissions:
        return "Choose at least one permission."
    sentence = f"People with this role can {can(form.permissions)}."
    if role is None:
        return sentence + " Assign it to users after you create it."
    with node.database.read(node.clock.now()) as reading:
        people = roles.people(reading, visitor.actor).get(role.id, 0)
    if not people:
        return sentence + " No one has it yet."
    has = "person has" if people == 1 else "people have"
    return (
        f"{sentence} {people:,} {has} it. The change applies from their next request, and limits "
        "their access tokens too."
    )


def _editable(node: Node, visitor: Visitor, id: str) -> Role:
    """The role, if this visitor may change it.

    Raises:
        Forbidden: they may not, or it holds more than they do.
        Conflict: it is built in.
    """
    _require(visitor)
    with node.database.read(node.clock.now()) as reading:
        role = roles.find(reading, visitor.actor, id, node.catalogue)
    if role.built_in:
        raise Conflict(f"{role.name} is built in and can't be changed.", reason="built_in_role")
    visitor.actor.require_held(role_records.permits(role, node.catalogue))
    return role


def _require(visitor: Visitor) -> None:
    visitor.actor.require_signed_in()
    visitor.actor.require("roles:manage")
