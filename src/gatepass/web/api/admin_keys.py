"""``/v1/admin-keys``: the keys with which a platform's backend manages companies."""

from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import Field

from gatepass.registry.directory import admin_keys
from gatepass.registry.input.networks import MOST_NETWORKS
from gatepass.registry.storage.database import Change
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.request_body import Fields, NoBody, body, resource
from gatepass.web.api.shapes import (
    Listed,
    Paging,
    Record,
    RecordId,
    Status,
    TakenTime,
    Time,
    person_id,
    person_name,
    sent,
)
from gatepass.web.caller import CurrentNode, SignedIn

router = resource("Admin keys")

Area = Literal["companies", "owners", "tokens", "portal", "verifiers"]

_LABEL: dict[str, Any] = {"minLength": 1, "maxLength": 100}


class NewAdminKey(Fields):
    """An admin key to create."""

    label: str = Field(json_schema_extra=_LABEL, examples=["Shop backend"])
    company: str | None = Field(
        default=None, description="The id of the only company that it may manage; null is all."
    )
    permissions: list[str] = Field(
        default=[],
        description="What it may manage: " + ", ".join(admin_keys.AREAS) + ". None of them is all.",
        examples=[["owners", "tokens"]],
    )
    networks: list[str] = Field(
        default=[],
        json_schema_extra={"maxItems": MOST_NETWORKS},
        description="Where it may be used; none is anywhere.",
        examples=[["203.0.113.0/24"]],
    )
    expires_at: TakenTime | None = None


class AdminKey(Record):
    """An admin key; never its text."""

    id: str
    label: str
    status: Status
    company: str | None
    permissions: list[Area]
    networks: list[str]
    expires_at: Time | None
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")


class CreatedAdminKey(AdminKey):
    """A new admin key."""

    key: str = Field(description="Its text, which is sent only this once.")


@router.get("/admin-keys", summary="The installation's admin keys")
def search(node: CurrentNode, actor: SignedIn, paging: Paging) -> Listed[AdminKey]:
    """For operators."""
    with node.database.read(node.clock.now()) as reading:
        page = admin_keys.list_(reading, actor, **paging)
    return Listed[AdminKey].of(page)


@router.post("/admin-keys", status_code=201, summary="Create an admin key")
def create(
    response: Response,
    actor: SignedIn,
    changing: CurrentChange,
    new: Annotated[NewAdminKey, body(NewAdminKey)],
) -> CreatedAdminKey:
    """For operators. The answer is the only one with the key's text."""

    def operation(change: Change) -> CreatedAdminKey:
        key, text = admin_keys.create(change, actor, **new.named())
        answer = sent(AdminKey, key, response)
        return CreatedAdminKey.model_construct(**dict(answer), key=text)

    return changing(operation)


@router.post("/admin-keys/{id}/deactivate", summary="Deactivate an admin key for good")
def deactivate(
    response: Response, actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody
) -> AdminKey:
    """For operators. Repeating it changes nothing."""
    return changing(
        lambda change: sent(AdminKey, admin_keys.deactivate(change, actor, id), response)
    )
