"""/company/roles/new and /company/roles/{id}/edit: create and edit a role."""

from dataclasses import dataclass, field
from typing import Self

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, Forbidden, InvalidInput, Unavailable
from gatepass.core.permissions import EVERYTHING
from gatepass.registry.directory import role_records, roles
from gatepass.registry.directory.role_records import Role
from gatepass.registry.tokens.calls import role_impact
from gatepass.registry.tokens.calls.impact import Impact
from gatepass.web.pages.company.role_grid import forgotten
from gatepass.web.pages.company.roles import editable_role
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, not_saved
from gatepass.web.pages.layout.navigation import ROLES
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.text.wording import can
from gatepass.web.pages.widgets.permission_groups import (
    PermissionGroup,
    offered,
    without_covered,
)
from gatepass.web.pages.widgets.permission_presets import Presets, presets_of

router = page_router()


@dataclass
class RoleForm:
    """The form's input, as typed.

    Attributes:
        etag: the version of the role that is being edited.
        errors: a message by field; "" for the form as a whole.
    """

    name: str = ""
    permissions: list[str] = field(default_factory=list)
    etag: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """The submitted form. ``*`` covers all other permissions."""
        chosen = without_covered(fields.all("permissions"))
        return cls(
            name=fields.one("name").strip(),
            permissions=[EVERYTHING] if EVERYTHING in chosen else chosen,
            etag=fields.one("etag"),
        )

    def error(self, name: str) -> str | None:
        """The message for a field, or None."""
        return self.errors.get(name)

    def refuse(self, error: InvalidInput | Forbidden | Conflict | Unavailable) -> FormState:
        """Put the reason why the role wasn't saved beside its field."""
        if isinstance(error, InvalidInput):
            for name, message in error.errors:
                root = name.partition(".")[0]
                if root == "permissions" and not self.permissions:
                    message = "Must have at least one."
                self.errors.setdefault(root if root in ("name", "permissions") else "", message)
            return FormState(422)
        if isinstance(error, Forbidden):
            if error.permission is None:
                raise error
            self.errors["permissions"] = error.message
            return FormState(403)
        if isinstance(error, Conflict):
            self.errors["name" if error.reason == "name_taken" else ""] = error.message
            return FormState(409)
        self.errors[""] = not_saved(error, button="the button")
        return FormState(503)


@router.get("/company/roles/new")
def new(screen: CurrentScreen) -> Response:
    """The empty form."""
    screen.require("roles:manage")
    return _page(screen, RoleForm())


@router.post("/company/roles/new")
@resumable
def create(screen: CurrentScreen, fields: Form) -> Response:
    """Create the role, or show the summary of what it would permit."""
    screen.require("roles:manage")
    form = RoleForm.read(fields)
    if fields.one("do") != "save":
        return _sentence_or_page(screen, form, fields.one("do"))
    try:
        with screen.write() as change:
            role = roles.create(
                change,
                screen.actor,
                catalogue=screen.node.catalogue,
                name=form.name,
                permissions=form.permissions,
            )
    except (InvalidInput, Forbidden, Conflict, Unavailable) as error:
        return _page(screen, form, state=form.refuse(error))
    return see_other(f"{ROLES.path}/{role.id}?done=created", confirmed=change.confirmed)


@router.get("/company/roles/{id}/edit")
def edit(screen: CurrentScreen, id: str) -> Response:
    """The form with the role's settings."""
    role = _editable(screen, id)
    kept = sorted(role_records.permits(role, screen.node.catalogue))
    return _page(screen, RoleForm(role.name, kept, role_records.etag(role)), role)


@router.post("/company/roles/{id}/edit")
@resumable
def save(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Save the changes."""
    role = _editable(screen, id)
    form = RoleForm.read(fields)
    if fields.one("do") != "save":
        return _sentence_or_page(screen, form, fields.one("do"), role)
    # The form trims names, the API doesn't; an older name may break today's rules.
    changes: dict[str, object] = {} if form.name == role.name.strip() else {"name": form.name}
    if set(form.permissions) != set(role.permissions):
        changes["permissions"] = form.permissions
    try:
        with screen.write() as change:
            roles.modify(
                change,
                screen.actor,
                id,
                catalogue=screen.node.catalogue,
                changes=changes,
                if_match=[form.etag],
            )
    except (InvalidInput, Forbidden, Conflict, Unavailable) as error:
        if error.reason == "changed_meanwhile":
            return _changed_meanwhile(screen, id, form)
        return _page(screen, form, role, form.refuse(error))
    return see_other(f"{ROLES.path}/{id}?done=saved", confirmed=change.confirmed)


def _changed_meanwhile(screen: Screen, id: str, form: RoleForm) -> HTMLResponse:
    """The page with both versions; the form keeps its input."""
    role = _editable(screen, id)
    form.etag = role_records.etag(role)
    differences = []
    if form.name != role.name:
        differences.append(Difference("Name", role.name, form.name))
    if set(form.permissions) != set(role.permissions):
        saved, typed = (", ".join(sorted(each)) for each in (role.permissions, form.permissions))
        differences.append(Difference("Permissions", saved, typed or "None"))
    state = screen.changed_meanwhile(id, differences)
    return _page(screen, form, role, state)


def _sentence_or_page(
    screen: Screen, form: RoleForm, pressed: str, role: Role | None = None
) -> HTMLResponse:
    if pressed == "impact":
        return screen.render("impact.html", impact=_impact(screen, form, role), of_token=False)
    if pressed != "sentence":
        *_, presets = _offered(screen, form.permissions)
        chosen = presets.press(pressed)
        form.permissions = form.permissions if chosen is None else chosen
        return _page(screen, form, role, impact=_impact(screen, form, role))
    return screen.render("company/sentence.html", sentence=_sentence(screen, form, role))


def _page(
    screen: Screen,
    form: RoleForm,
    role: Role | None = None,
    state: FormState = OPENED,
    *,
    impact: Impact | None = None,
) -> HTMLResponse:
    groups, own_groups, presets = _offered(screen, form.permissions)
    return screen.render_form(
        "company/role_form.html",
        state,
        form=form,
        role=role,
        groups=groups,
        own_groups=own_groups,
        permission_presets=presets,
        forgotten=[] if role is None else forgotten(screen.node.catalogue, role.permissions),
        sentence=_sentence(screen, form, role),
        impact=impact,
    )


def _impact(screen: Screen, form: RoleForm, role: Role | None) -> Impact | None:
    """The calls that the change of a role would newly refuse; None if it changes no permission."""
    if role is None or set(form.permissions) == set(role.permissions):
        return None
    try:
        with screen.read() as reading:
            return role_impact.preview(
                reading,
                screen.actor,
                role.id,
                form.permissions,
                catalogue=screen.node.catalogue,
            )
    except InvalidInput:
        return None


def _offered(
    screen: Screen, chosen: list[str]
) -> tuple[list[PermissionGroup], list[PermissionGroup], Presets]:
    """What the picker offers: the product's permissions, Gatepass's own, and presets of both."""
    catalogue, actor = screen.node.catalogue, screen.actor
    groups, own_groups = (
        offered(catalogue, actor, chosen, built_in=built_in, of_role=True)
        for built_in in (False, True)
    )
    everything = actor.may(EVERYTHING)
    presets = presets_of(catalogue, actor, groups, own_groups, chosen, everything=everything)
    return groups, own_groups, presets


def _sentence(screen: Screen, form: RoleForm, role: Role | None) -> str:
    """The summary beside the form."""
    if not form.permissions:
        return "Choose at least one permission."
    sentence = f"People with this role can {can(form.permissions)}."
    if role is None:
        return sentence + " Assign it to users after you create it."
    with screen.read() as reading:
        people = roles.people(reading, screen.actor).get(role.id, 0)
    if not people:
        return sentence + " No one has it yet."
    has = "person has" if people == 1 else "people have"
    return (
        f"{sentence} {people:,} {has} it. The change applies from their next request, and limits "
        "their access tokens too."
    )


def _editable(screen: Screen, id: str) -> Role:
    """The role, if the visitor may change it.

    Raises:
        Forbidden: the visitor may not, or the role includes more than they do.
        Conflict: the role is built in.
    """
    role = editable_role(screen, id)
    screen.actor.require_held(role_records.permits(role, screen.node.catalogue))
    return role
