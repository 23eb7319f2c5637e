"""``/v1/roles``: named sets of permissions for users."""

from typing import Annotated, Any, ClassVar

from fastapi import Response
from pydantic import Field

from gatepass.core.errors import NotConfirmed
from gatepass.registry.directory import role_records, roles
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.tokens.calls import role_impact
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import IfMatch, Paging, RecordId
from gatepass.web.api.records.impact import CallImpact
from gatepass.web.api.request_body import Fields, body, refusing, resource
from gatepass.web.api.shapes import Listed, Permissions, Record, Versions, current_as, sent
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = resource("Roles")

_NAME: dict[str, Any] = {"minLength": 1, "maxLength": 100}


class NewRole(Fields):
    """A new role."""

    name: str = Field(json_schema_extra=_NAME, examples=["Bookkeeping"])
    permissions: Permissions


class RoleChanges(Fields):
    """Changes of a role; absent fields stay."""

    name: str = Field(default="", json_schema_extra=_NAME, examples=["Bookkeeping"])
    permissions: Permissions = Field(default=[])


class ProposedRole(Fields):
    """The permissions that a role would have."""

    permissions: Permissions


class Role(Record):
    """A named set of permissions."""

    etag: ClassVar[Versions] = role_records.etag

    id: str = Field(examples=["rol_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Bookkeeping"])
    permissions: tuple[str, ...] = Field(
        examples=[["charges:*"]],
        description="As chosen, with the wildcards `resource:*` and `*`. Permissions that are no "
        "longer in the catalogue permit nothing.",
    )
    built_in: bool = Field(description="One of the four that every company has, unchangeable.")


@router.get("/roles", summary="The company's roles")
def search(node: CurrentNode, actor: Authenticated, paging: Paging) -> Listed[Role]:
    """Needs `roles:get`. The company's own, newest first, then the four built-in ones."""
    with node.database.read(node.clock.now()) as reading:
        page = roles.list_(reading, actor, catalogue=node.catalogue, **paging)
    return Listed[Role].of(page)


@router.post("/roles", status_code=201, summary="Create a role", responses=refusing(409))
def create(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    new: Annotated[NewRole, body(NewRole)],
) -> Role:
    """Needs `roles:manage`, and all permissions of the role. A company has up to 200 roles of its
    own (else 409 `too_many_roles`); names are unique, compared without case (else 409
    `name_taken`)."""

    def operation(change: Change) -> Role:
        role = roles.create(
            change,
            actor,
            catalogue=node.catalogue,
            name=new.name,
            permissions=new.permissions,
        )
        response.headers["Location"] = f"/v1/roles/{role.id}"
        return sent(Role, role, response)

    return changing(operation)


@router.get("/roles/{id}", summary="One role")
def get(response: Response, node: CurrentNode, actor: Authenticated, id: RecordId) -> Role:
    """Needs `roles:get`."""
    with node.database.read(node.clock.now()) as reading:
        return sent(Role, roles.get(reading, actor, id, catalogue=node.catalogue), response)


@router.patch("/roles/{id}", summary="Change a role")
def modify(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: RecordId,
    changes: Annotated[RoleChanges, body(RoleChanges)],
    if_match: IfMatch,
) -> Role:
    """Needs `roles:manage`, and all permissions of the role before and after. Takes effect on the
    next call of every user with the role. Built-in roles can't be changed (409 `built_in_role`).
    With `If-Match`, only that version is changed (else 409)."""
    with current_as(Role), node.database.write(node.clock.now()) as change:
        role = roles.modify(
            change,
            actor,
            id,
            catalogue=node.catalogue,
            changes=changes.named(),
            if_match=if_match,
        )
    return settled(change.confirmed, sent(Role, role, response))


@router.post("/roles/{id}/preview", summary="Preview the impact of a role's permissions")
def preview(
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    id: RecordId,
    wanted: Annotated[ProposedRole, body(ProposedRole)],
) -> CallImpact:
    """Needs `roles:manage`. Changes nothing: decides the calls of the last 30 days again, of the
    tokens of all who have the role. Without `access-tokens:get`, `items` is empty."""

    def operation(reading: Reading) -> CallImpact:
        found = role_impact.preview(
            reading, actor, id, wanted.permissions, catalogue=node.catalogue
        )
        return CallImpact.model_validate(found)

    return changing.reading(operation)


@router.delete(
    "/roles/{id}", status_code=204, response_class=Response, summary="Delete an unused role"
)
def delete(node: CurrentNode, actor: SignedIn, id: RecordId, if_match: IfMatch) -> None:
    """Needs `roles:manage`, and all permissions of the role. 409 `role_in_use` for a role of an
    active user or a pending invitation, and `built_in_role` for a built-in one. With `If-Match`,
    only that version is deleted (else 409)."""
    with current_as(Role), node.database.write(node.clock.now()) as change:
        roles.delete(change, actor, id, catalogue=node.catalogue, if_match=if_match)
    if not change.confirmed:
        # Without a current record, because the role is deleted.
        raise NotConfirmed
