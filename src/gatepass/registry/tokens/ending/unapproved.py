"""Deactivates tokens that nobody approved.

Nothing depends on when this runs: a pending token is refused all the time.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import or_, select

from gatepass.registry.storage.database import Database, Reading
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.approval_records import PENDING_MS
from gatepass.registry.tokens.ending.rounds import deactivate_due

_token = access_tokens.c


def deactivate_unapproved(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Deactivate those that have waited for too long (``rounds.deactivate_due``).

    Expired ones stay as they are.
    """
    return deactivate_due(
        database,
        now,
        pause,
        cause="unapproved",
        candidates=lambda reading: [id for _, id in _due(reading, None)],
        due=_due,
    )


def _due(reading: Reading, ids: Sequence[str] | None) -> list[tuple[str, str]]:
    """Company and id of those tokens, of *ids* if given, that have waited for too long."""
    now = reading.now
    wanted = select(_token.company_id, _token.id).where(
        _token.pending_since <= now - PENDING_MS,
        _token.deactivated_at.is_(None),
        or_(_token.expires_at.is_(None), _token.expires_at > now),
    )
    if ids is not None:
        wanted = wanted.where(_token.id.in_(ids))
    return [(row.company_id, row.id) for row in reading.session.execute(wanted)]
