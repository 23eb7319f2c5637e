"""``/v1/admin-keys``: the keys with which a platform's backend manages companies."""

from typing import Annotated, Any

from fastapi import Response
from pydantic import Field

from gatepass.registry.directory import admin_keys
from gatepass.registry.input.networks import MOST_NETWORKS
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.registry.storage.database import Change
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.parameters import Paging, RecordId
from gatepass.web.api.records.admin_keys import AdminKey
from gatepass.web.api.request_body import Fields, NoBody, body, resource
from gatepass.web.api.shapes import IdText, Listed, TakenTime, sent
from gatepass.web.caller import CurrentNode, SignedIn

router = resource("Admin keys")

_LABEL: dict[str, Any] = {"minLength": 1, "maxLength": LONGEST_LABEL}
_AREAS: dict[str, Any] = {
    "maxItems": len(admin_keys.AREAS),
    "items": {"type": "string", "enum": list(admin_keys.AREAS)},
}


class NewAdminKey(Fields):
    """A new admin key."""

    label: str = Field(json_schema_extra=_LABEL, examples=["Shop backend"])
    company: IdText | None = Field(
        default=None,
        description="The id of the only company that it may manage; absent or null: all.",
    )
    permissions: list[str] = Field(
        default=[],
        json_schema_extra=_AREAS,
        description="What it may manage; empty: all.",
        examples=[["owners", "tokens"]],
    )
    networks: list[str] = Field(
        default=[],
        json_schema_extra={"maxItems": MOST_NETWORKS},
        description="Networks it can be used from; empty: any.",
        examples=[["203.0.113.0/24"]],
    )
    expires_at: TakenTime | None = Field(default=None, description="Absent or null: never.")


class CreatedAdminKey(AdminKey):
    """A new admin key with its text, which no other answer has."""

    key: str = Field(examples=["gpak_4fT0aB3cD5eF7gH9…"])


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
