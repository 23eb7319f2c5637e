"""``/v1/access-tokens/{id}/receipt``."""

from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from gatepass.registry.replication import receipt_status
from gatepass.registry.tokens import access_tokens
from gatepass.web.api.shapes import Record, RecordId, Time
from gatepass.web.caller import Authenticated, CurrentNode

router = APIRouter(tags=["Access tokens"])


class Confirmation(Record):
    """One verifier's part in a receipt."""

    id: str
    name: str
    kind: Literal["node", "embedded"]
    confirmed_at: Time | None = Field(description="When it acknowledged that it refuses.")
    state: receipt_status.ConfirmationState = Field(
        description="`refusing`; `waiting`: not acknowledged yet; `silent`: not acknowledged, and "
        "not vouched for any more, so that it can't say “allowed” either."
    )


class Receipt(Record):
    """Who refuses what ended."""

    revision: int = Field(description="The change that ended it.")
    at: Time
    completed_at: Time | None = Field(
        description="When nobody was left who could have said “allowed”; null until then."
    )
    refused_by: int
    of: int
    verifiers: list[Confirmation]


@router.get("/access-tokens/{id}/receipt", summary="Who refuses a token that ended")
def get(node: CurrentNode, actor: Authenticated, id: RecordId) -> Receipt:
    """Needs `access-tokens:get`. There is none for a token that hasn't been deactivated, and none
    a week after everyone refused it: the audit log keeps what came of it."""
    with node.database.read(node.clock.now()) as reading:
        return Receipt.model_validate(access_tokens.receipt(reading, actor, id))
