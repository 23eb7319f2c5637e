"""The access tokens of one owner: counting and deactivating all of them."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, union_all

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import access_tokens, token_use
from gatepass.registry.tokens.records import STORED, AccessToken, tokens_of
from gatepass.registry.tokens.store import revoke

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Left:
    """Access tokens that an owner leaves behind, or has left.

    Attributes:
        latest: some of them, the latest used first; never used ones come last.
        count: of all of them.
    """

    latest: list[AccessToken]
    count: int


def left(
    reading: Reading, actor: Actor, owner_id: str, *, limit: int, permission: str = "users:manage"
) -> Left:
    """The tokens that *owner_id* would leave behind, in the actor's company.

    Args:
        permission: the one that deactivates the owner with all of them.

    Raises:
        Forbidden: without *permission*.
    """
    actor.require(permission)
    return latest(
        reading, access_tokens.c.company_id == actor.company, unended(owner_id), limit=limit
    )


def latest(reading: Reading, *wanted: ColumnElement[bool], limit: int) -> Left:
    """The tokens that match all conditions. Performs no permission check."""
    count = reading.session.execute(select(func.count()).where(*wanted)).scalar_one()
    rows = reading.session.execute(
        STORED.where(*wanted)
        .order_by(
            func.coalesce(token_use.c.last_at, 0).desc(),
            access_tokens.c.created_at.desc(),
            access_tokens.c.id.desc(),
        )
        .limit(limit)
    ).all()
    return Left(tokens_of(reading, list(rows)), count)


def deactivate_all(change: Change, actor: Actor, owner_id: str) -> int:
    """Deactivate all access tokens of an owner, each with an audit event; returns their number.

    Performs no permission check: the operation that deactivates the owner has done it. Thousands of
    tokens are written in batches, in the one transaction.
    """
    ids = change.session.scalars(
        select(access_tokens.c.id)
        .where(unended(owner_id))
        .order_by(access_tokens.c.created_at, access_tokens.c.id)
    ).all()
    for start in range(0, len(ids), _BATCH):
        revoke(change, actor, ids[start : start + _BATCH])
    return len(ids)


def unended(owner_id: str) -> ColumnElement[bool]:
    """A condition: a token of the owner that isn't deactivated."""
    # Each half has an index of its own.
    lives = [access_tokens.c.owner_id == owner_id, access_tokens.c.deactivated_at.is_(None)]
    halves = (access_tokens.c.lapsed_at.is_(None), access_tokens.c.lapsed_at.is_not(None))
    return access_tokens.c.id.in_(
        union_all(*(select(access_tokens.c.id).where(*lives, half) for half in halves))
    )
