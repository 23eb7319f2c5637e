"""Impact of a change on the calls of one access token."""

from collections.abc import Mapping
from typing import Any

from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import NotFound
from gatepass.core.replay import Rules
from gatepass.registry.actor import Actor
from gatepass.registry.explanations.change import changed, read_change
from gatepass.registry.grants.publishing import published_of_actor
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import store
from gatepass.registry.tokens.calls import impact
from gatepass.registry.tokens.calls.impact import Impact


def preview(
    reading: Reading,
    actor: Actor,
    token_id: str,
    change: Mapping[str, Any],
    *,
    catalogue: Catalogue,
) -> Impact:
    """What would become of a token's calls after a change.

    Args:
        change: as ``read_change`` takes it.

    Raises:
        Forbidden: without ``access-tokens:get``; ``portal_session``; as ``read_change`` says.
        NotFound: there is no such token, or it is another company's.
        InvalidInput: as ``read_change`` says.
    """
    actor.require("access-tokens:get")
    row = store.find(reading, actor.company, token_id)
    read = read_change(reading, actor, row, change, catalogue=catalogue)
    grant, holder, company = published_of_actor(reading, row.id, row.owner_id, row.company_id)
    if grant is None:
        raise NotFound("There is no such access token.")
    after = changed(grant, holder, company, read, catalogue=catalogue)
    return impact.of_token(reading, Rules(grant, holder, company), Rules(*after))
