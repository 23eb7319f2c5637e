"""``/v1/verifier-keys``. They are made on the command line alone."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response

from gatepass.registry.directory import verifier_keys
from gatepass.web.api.confirmation import settled
from gatepass.web.api.request_body import NoFields, body, takes
from gatepass.web.api.shapes import (
    Limit,
    Listed,
    PageCursor,
    Record,
    RecordId,
    Time,
    person_id,
    person_name,
)
from gatepass.web.caller import CurrentNode, SignedIn

router = APIRouter(tags=["Verifier keys"])


class VerifierKey(Record):
    """A verifier key; never its text."""

    id: str
    label: str
    status: Literal["active", "deactivated"]
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")


@router.get("/verifier-keys", summary="The installation's verifier keys")
def search(
    node: CurrentNode, actor: SignedIn, limit: Limit | None = None, cursor: PageCursor = None
) -> Listed[VerifierKey]:
    """For operators."""
    with node.database.read(node.clock.now()) as reading:
        page = verifier_keys.list_(reading, actor, limit=limit, cursor=cursor)
    items = [VerifierKey.model_validate(key) for key in page.items]
    return Listed[VerifierKey](items=items, next=page.next)


@router.post(
    "/verifier-keys/{id}/deactivate",
    summary="Deactivate a verifier key for good",
    openapi_extra=takes(NoFields),
)
def deactivate(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: RecordId,
    _: Annotated[NoFields, body(NoFields)],
) -> VerifierKey:
    """For operators. Repeating it changes nothing."""
    with node.database.write(node.clock.now()) as change:
        key = verifier_keys.deactivate(change, actor, id)
    sent = VerifierKey.model_validate(key)
    response.headers["ETag"] = sent.entity_tag()
    return settled(change.confirmed, sent)
