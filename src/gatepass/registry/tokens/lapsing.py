"""Records which access tokens have expired, so that lists find them by an index.

Decisions and records go by ``expires_at`` alone; nothing depends on when this runs. Lists also read
the tokens that have expired since, which are few if it runs often.
"""

from collections.abc import Callable, Collection

from sqlalchemy import select, update

from gatepass.registry.storage.database import Database, Write
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import recency

_AT_ONCE = 1_000
_token = access_tokens.c


def record_lapsed(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Record all that have expired, in batches; returns their number. Several nodes may run it.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.

    Raises:
        Unavailable: the database can't be used now. Committed batches stay recorded.
    """
    recorded = 0
    due = (
        select(_token.id)
        .where(
            _token.deactivated_at.is_(None),
            _token.lapsed_at.is_(None),
            _token.expires_at.is_not(None),
        )
        .order_by(_token.expires_at)
        .limit(_AT_ONCE)
    )
    while True:
        # Most rounds find nothing, and needn't wait for writers.
        with database.read(now()) as reading:
            if not reading.session.scalars(due.where(_token.expires_at <= reading.now)).first():
                return recorded
        with database.auxiliary_write(now()) as write:
            # A row that another transaction is changing is left to the next round.
            ids = write.session.scalars(
                due.where(_token.expires_at <= write.now).with_for_update(skip_locked=True)
            ).all()
            record(write, ids)
        recorded += len(ids)
        if not ids or not pause():
            return recorded


def record(write: Write, ids: Collection[str]) -> None:
    """Record that the tokens with *ids* have expired."""
    if ids:
        write.session.execute(
            update(access_tokens).where(_token.id.in_(ids)).values(lapsed_at=_token.expires_at)
        )
        recency.set_life(write, ids, "expired")
