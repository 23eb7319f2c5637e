"""All access tokens of one user: how many are left, and the end of all of them at once."""

from dataclasses import dataclass

from sqlalchemy import func, select, update

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.publishing import publish_grants
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import access_tokens, token_use
from gatepass.registry.tokens.records import STORED, AccessToken, grant_of, tokens_of

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Left:
    """A user's access tokens that aren't deactivated.

    Attributes:
        latest: some of them, the latest used first, and what was never used last.
        count: how many there are.
    """

    latest: list[AccessToken]
    count: int


def left(reading: Reading, actor: Actor, user_id: str, *, limit: int) -> Left:
    """What *user_id* would leave behind, in the actor's company.

    Raises:
        Forbidden: without ``users:manage``, which ends all of them with their user.
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
    """End all of a user's, each with an event of its own; how many there were.

    It is part of the user's own end, which has settled that the actor may. Thousands of them are
    written by the hundred, in the one transaction.
    """
    ids = change.session.scalars(
        select(access_tokens.c.id)
        .where(access_tokens.c.created_by == user_id, access_tokens.c.deactivated_at.is_(None))
        .order_by(access_tokens.c.created_at, access_tokens.c.id)
    ).all()
    now = change.now
    ended = {
        "deactivated_at": now,
        "deactivated_by": actor.user,
        "deactivated_by_name": actor.name,
    }
    for start in range(0, len(ids), _BATCH):
        batch = access_tokens.c.id.in_(ids[start : start + _BATCH])
        change.session.execute(update(access_tokens).where(batch).values(ended))
        rows = change.session.execute(
            STORED.where(batch).order_by(access_tokens.c.created_at, access_tokens.c.id)
        ).all()
        publish_grants(change, [grant_of(row) for row in rows])
        subjects = [Subject("access_token", row.id, row.label) for row in rows]
        receipts.begin(change, subjects, company=rows[0].company_id)
        log.record_each(
            change,
            actor,
            "access_token.deactivated",
            subjects,
            company=rows[0].company_id,
            before={"deactivated_at": None},
            after={"deactivated_at": now},
        )
    return len(ids)
