"""``/v1/verifier-keys``. Only the command line creates them."""

from typing import Literal

from fastapi import Response
from pydantic import Field

from gatepass.registry.directory import verifier_keys
from gatepass.web.api.confirmation import settled
from gatepass.web.api.request_body import NoBody, resource
from gatepass.web.api.shapes import (
    Listed,
    Paging,
    Record,
    RecordId,
    Time,
    person_id,
    person_name,
    sent,
)
from gatepass.web.caller import CurrentNode, SignedIn

router = resource("Verifier keys")


class VerifierKey(Record):
    """A verifier key; never its text."""

    id: str = Field(examples=["gpvk_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Gateway"])
    status: Literal["active", "deactivated"]
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None = Field(examples=[None])
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")


@router.get("/verifier-keys", summary="The installation's verifier keys")
def search(node: CurrentNode, actor: SignedIn, paging: Paging) -> Listed[VerifierKey]:
    """For operators."""
    with node.database.read(node.clock.now()) as reading:
        page = verifier_keys.list_(reading, actor, **paging)
    return Listed[VerifierKey].of(page)


@router.post("/verifier-keys/{id}/deactivate", summary="Deactivate a verifier key for good")
def deactivate(
    response: Response, node: CurrentNode, actor: SignedIn, id: RecordId, _: NoBody
) -> VerifierKey:
    """For operators. Repeating it changes nothing."""
    with node.database.write(node.clock.now()) as change:
        key = verifier_keys.deactivate(change, actor, id)
    return settled(change.confirmed, sent(VerifierKey, key, response))
