"""The access tokens of one user: counting and deactivating all of them."""

from dataclasses import dataclass

from sqlalchemy import func, select

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import access_tokens, token_use
from gatepass.registry.tokens.access_tokens import revoke
from gatepass.registry.tokens.records import STORED, AccessToken, tokens_of

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Left:
    """A user's access tokens that aren't deactivated.

    Attributes:
        latest: some of them, the latest used first; never used ones come last.
        count: of all of them.
    """

    latest: list[AccessToken]
    count: int


def left(reading: Reading, actor: Actor, user_id: str, *, limit: int) -> Left:
    """The tokens that *user_id* would leave behind, in the actor's company.

    Raises:
        Forbidden: without ``users:manage``, which deactivates all of them with their user.
    """
    actor.require("users:manage")
    wanted = (
        access_tokens.c.created_by == user_id,
        access_tokens.c.company_id == actor.company,
        access_tokens.c.deactivated_at.is_(None),
    )
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


def deactivate_all(change: Change, actor: Actor, user_id: str) -> int:
    """Deactivate all access tokens of a user, each with an audit event, and return their number.

    Performs no permission check: the operation that deactivates the user has done it. Thousands of
    tokens are written in batches, in the one transaction.
    """
    ids = change.session.scalars(
        select(access_tokens.c.id)
        .where(access_tokens.c.created_by == user_id, access_tokens.c.deactivated_at.is_(None))
        .order_by(access_tokens.c.created_at, access_tokens.c.id)
    ).all()
    for start in range(0, len(ids), _BATCH):
        revoke(change, actor, ids[start : start + _BATCH])
    return len(ids)
