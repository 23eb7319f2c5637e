"""Deactivates tokens that nobody approved.

Nothing depends on when this runs: a pending token is refused all the time.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import Select, or_, select

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.approval_records import PENDING_MS
from gatepass.registry.tokens.store import revoke

_AT_ONCE = 100
_token = access_tokens.c


def deactivate_unapproved(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Deactivate those that have waited for too long, in batches; returns their number.

    Several nodes may run it. Expired ones stay as they are.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.

    Raises:
        Unavailable: the database can't be used now. Committed batches stay deactivated.
    """
    system = replace(Actor.system(), cause="unapproved")
    ended = 0
    while True:
        # Most rounds find nothing, and needn't wait for writers.
        with database.read(now()) as reading:
            if not reading.session.execute(_due(reading.now)).all():
                return ended
        with database.write(now()) as change:
            due = change.session.execute(_due(change.now)).all()
            for _, rows in groupby(due, key=lambda row: row.company_id):
                revoke(change, system, [row.id for row in rows])
        ended += len(due)
        if not due or not pause():
            return ended


def _due(now: int) -> Select[Any]:
    unexpired = or_(_token.expires_at.is_(None), _token.expires_at > now)
    return (
        select(_token.company_id, _token.id)
        .where(_token.pending_since <= now - PENDING_MS, _token.deactivated_at.is_(None), unexpired)
        .order_by(_token.company_id, _token.id)
        .limit(_AT_ONCE)
    )
