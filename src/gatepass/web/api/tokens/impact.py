"""``/v1/access-tokens/{id}/impact``: which calls a change would newly refuse."""

from typing import Annotated

from gatepass.registry.explanations import token_impact
from gatepass.registry.storage.database import Reading
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.parameters import RecordId
from gatepass.web.api.records.impact import CallImpact
from gatepass.web.api.request_body import Fields, body, resource
from gatepass.web.api.tokens.decisions import ProposedChange
from gatepass.web.caller import Authenticated, CurrentNode

router = resource("Access tokens")


class ChangeToPreview(Fields):
    """A change of an access token, of its owner's role, or of the company's allowlist."""

    change: ProposedChange


@router.post("/access-tokens/{id}/impact", summary="Preview which calls a change would refuse")
def preview(
    node: CurrentNode,
    actor: Authenticated,
    changing: CurrentChange,
    id: RecordId,
    proposed: Annotated[ChangeToPreview, body(ChangeToPreview)],
) -> CallImpact:
    """Needs `access-tokens:get`. Changes nothing: decides the token's calls of the last 30 days
    again, with the change and without. An expiry refuses none of them, because it is in the
    future."""

    def operation(reading: Reading) -> CallImpact:
        found = token_impact.preview(
            reading, actor, id, proposed.change.members(), catalogue=node.catalogue
        )
        return CallImpact.model_validate(found)

    return changing.reading(operation)
