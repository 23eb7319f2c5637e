"""Impact of a change on the calls of one access token."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Row

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
    before = _rules(reading, row)
    after = changed(*before, read, catalogue=catalogue)
    return impact.of_token(reading, before, Rules(*after))


def once_expired(reading: Reading, actor: Actor, token_id: str) -> Impact:
    """What would become of a token's calls if it had expired.

    Raises:
        Forbidden: without ``access-tokens:get``; ``portal_session``.
        NotFound: there is no such token, or it is another company's.
    """
    actor.require("access-tokens:get")
    before = _rules(reading, store.find(reading, actor.company, token_id))
    expired = msgspec.structs.replace(before.grant, expires_at=reading.now)
    return impact.of_token(reading, before, before._replace(grant=expired))


def _rules(reading: Reading, row: Row[Any]) -> Rules:
    grant, holder, company = published_of_actor(reading, row.id, row.owner_id, row.company_id)
    if grant is None:
        raise NotFound("There is no such access token.")
    return Rules(grant, holder, company)
