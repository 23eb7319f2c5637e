"""``/v1/access-tokens/{id}/receipt``."""

from typing import Literal

from pydantic import Field

from gatepass.registry.replication import receipt_status
from gatepass.registry.tokens import access_tokens
from gatepass.web.api.parameters import RecordId
from gatepass.web.api.request_body import resource
from gatepass.web.api.shapes import Record, Time
from gatepass.web.caller import Authenticated, CurrentNode

router = resource("Access tokens")


class VerifierConfirmation(Record):
    """A verifier's confirmation in a receipt."""

    id: str = Field(examples=["node_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["gate-1"])
    kind: Literal["node", "embedded"]
    confirmed_at: Time | None = Field(description="When it acknowledged that it refuses the token.")
    state: receipt_status.ConfirmationState = Field(
        description="`refusing`; `waiting`: not acknowledged yet; `silent`: not acknowledged, but "
        "its copy isn't fresh any more, so that it allows nothing."
    )


class DeactivationReceipt(Record):
    """Which verifiers refuse a deactivated token."""

    revision: int = Field(description="The revision that deactivated the token.")
    at: Time
    completed_at: Time | None = Field(
        description="When no verifier was left that could have allowed it; null until then."
    )
    refused_by: int
    of: int
    verifiers: list[VerifierConfirmation]


@router.get("/access-tokens/{id}/receipt", summary="Which verifiers refuse a deactivated token")
def get(node: CurrentNode, actor: Authenticated, id: RecordId) -> DeactivationReceipt:
    """Needs `access-tokens:get`. 404 for a token that isn't deactivated, and a week after all
    verifiers refuse it; the audit log keeps the outcome."""
    with node.database.read(node.clock.now()) as reading:
        return DeactivationReceipt.model_validate(access_tokens.receipt(reading, actor, id))
