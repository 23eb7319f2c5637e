"""``/v1/roles``: what people of the company may do."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import Field

from gatepass.core.errors import Conflict, NotConfirmed
from gatepass.registry.directory import role_records, roles
from gatepass.web.api.body import Fields, body, takes
from gatepass.web.api.confirmation import mark, settled
from gatepass.web.api.shapes import Limit, Listed, PageCursor, Record, RecordId, wanted_tags
from gatepass.web.caller import Authenticated, OurNode, SignedIn

router = APIRouter(tags=["Roles"])

_NAME: dict[str, Any] = {"minLength": 1, "maxLength": 100}
_PERMISSIONS: dict[str, Any] = {"minItems": 1, "maxItems": 200}


class NewRole(Fields):
    """What a new role shall be."""

    name: str = Field(json_schema_extra=_NAME, examples=["Bookkeeping"])
    permissions: list[str] = Field(json_schema_extra=_PERMISSIONS, examples=[["access-tokens:get"]])


class RoleChanges(Fields):
    """What shall change; fields that are absent stay as they are."""

    name: str = Field(default="", json_schema_extra=_NAME, examples=["Bookkeeping"])
    permissions: list[str] = Field(
        default=[], json_schema_extra=_PERMISSIONS, examples=[["access-tokens:get"]]
    )

    def named(self) -> dict[str, Any]:
        """The fields that were there, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Role(Record):
    """A named set of permissions."""

    id: str
    name: str
    permissions: tuple[str, ...] = Field(
        description="`resource:*` and `*` as they were chosen. What the catalogue no longer has "
        "permits nothing."
    )
    built_in: bool = Field(description="Every company has these four, and nobody changes them.")


@router.get("/roles", summary="The company's roles")
def search(
    node: OurNode,
    actor: Authenticated,
    limit: Limit | None = None,
    cursor: PageCursor = None,
) -> Listed[Role]:
    """Needs `roles:get`. The company's own, newest first, then the four built-in ones."""
    with node.database.read(node.clock.now()) as reading:
        page = roles.list_(reading, actor, catalogue=node.catalogue, limit=limit, cursor=cursor)
    return Listed[Role](items=[Role.model_validate(role) for role in page.items], next=page.next)


@router.post("/roles", status_code=201, summary="Create a role", openapi_extra=takes(NewRole))
def create(
    response: Response, node: OurNode, actor: SignedIn, new: Annotated[NewRole, body(NewRole)]
) -> Role:
    """Needs `roles:manage`, and all that the role shall permit. A company has up to 200 of its own;
    names are unique, compared without case (else 409)."""
    with node.database.write(node.clock.now()) as change:
        role = roles.create(
            change,
            actor,
            catalogue=node.catalogue,
            name=new.name,
            permissions=new.permissions,
        )
    response.headers["Location"] = f"/v1/roles/{role.id}"
    mark(response, change.confirmed)
    return _sent(role, response)


@router.get("/roles/{id}", summary="One role")
def get(response: Response, node: OurNode, actor: Authenticated, id: RecordId) -> Role:
    """Needs `roles:get`."""
    with node.database.read(node.clock.now()) as reading:
        return _sent(roles.get(reading, actor, id, catalogue=node.catalogue), response)


@router.patch("/roles/{id}", summary="Change a role", openapi_extra=takes(RoleChanges))
def modify(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    changes: Annotated[RoleChanges, body(RoleChanges)],
    if_match: Annotated[list[str] | None, Header()] = None,
) -> Role:
    """Needs `roles:manage`, and all that the role permits and shall permit. It counts on the next
    call of everyone who has it. Built-in ones stay as they are (409). With `If-Match`, only the
    version it names is changed (else 409)."""
    try:
        with node.database.write(node.clock.now()) as change:
            role = roles.modify(
                change,
                actor,
                id,
                catalogue=node.catalogue,
                changes=changes.named(),
                if_match=wanted_tags(if_match),
            )
    except Conflict as conflict:
        raise _readable(conflict) from None
    return settled(change.confirmed, _sent(role, response))


@router.delete(
    "/roles/{id}", status_code=204, response_class=Response, summary="Delete a role that nobody has"
)
def delete(
    node: OurNode,
    actor: SignedIn,
    id: RecordId,
    if_match: Annotated[list[str] | None, Header()] = None,
) -> None:
    """Needs `roles:manage`, and all that the role permits. One that an active user or a pending
    invitation has is not deleted, nor is a built-in one (409). With `If-Match`, only the version
    it names is deleted (else 409)."""
    try:
        with node.database.write(node.clock.now()) as change:
            roles.delete(
                change, actor, id, catalogue=node.catalogue, if_match=wanted_tags(if_match)
            )
    except Conflict as conflict:
        raise _readable(conflict) from None
    if not change.confirmed:
        # There is no record any more.
        raise NotConfirmed


def _readable(conflict: Conflict) -> Conflict:
    if isinstance(conflict.current, role_records.Role):
        conflict.current = Role.model_validate(conflict.current).model_dump(mode="json")
    return conflict


def _sent(role: role_records.Role, response: Response) -> Role:
    response.headers["ETag"] = role_records.etag(role)
    return Role.model_validate(role)
