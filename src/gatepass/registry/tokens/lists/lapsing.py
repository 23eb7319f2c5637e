"""Records which access tokens have expired, so that lists find them by an index.

Decisions and records go by ``expires_at`` alone; nothing depends on when this runs. Lists also read
the tokens that have expired since, which are few if it runs often.
"""

from collections.abc import Callable, Collection

from sqlalchemy import Select, select, update

from gatepass.registry.storage.batches import in_batches
from gatepass.registry.storage.database import Database, Reading, Write
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.calls import recency

_AT_ONCE = 1_000
_token = access_tokens.c


def record_lapsed(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Record all that have expired (``in_batches``); returns their number.

    Several nodes may run it.
    """
    return in_batches(
        database,
        now,
        pause,
        any_due=lambda reading: bool(reading.session.scalars(_due(reading).limit(1)).first()),
        write=database.auxiliary_write,
        batch=_record_some,
    )


def _record_some(write: Write) -> int:
    # A row that another transaction is changing is left to the next round.
    due = _due(write).limit(_AT_ONCE).with_for_update(skip_locked=True)
    ids = write.session.scalars(due).all()
    record(write, ids)
    return len(ids)


def _due(reading: Reading) -> Select[str]:
    lives = (_token.deactivated_at.is_(None), _token.lapsed_at.is_(None))
    due = (_token.expires_at.is_not(None), _token.expires_at <= reading.now)
    return select(_token.id).where(*lives, *due).order_by(_token.expires_at)


def record(write: Write, ids: Collection[str]) -> None:
    """Record that the tokens with *ids* have expired."""
    if ids:
        write.session.execute(
            update(access_tokens).where(_token.id.in_(ids)).values(lapsed_at=_token.expires_at)
        )
        recency.set_life(write, ids, "expired")
