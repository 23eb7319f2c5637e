"""Closes replaced tokens once they have been silent for long enough.

A round ends them sooner than their expiry, which ends them at the latest, whether or not a round
runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import or_, select

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Database, Reading
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.records import STORED
from gatepass.registry.tokens.silence import Silences
from gatepass.registry.tokens.store import revoke

_AT_ONCE = 100
_token = access_tokens.c


def close_silent(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Close all that are due, in batches; returns their number. Several nodes may run it.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.

    Raises:
        Unavailable: the database can't be used now. Committed batches stay closed.
    """
    system = replace(Actor.system(), cause="rotation")
    with database.read(now()) as reading:
        closing = (
            _token.rotation_close == "when_silent",
            _token.deactivated_at.is_(None),
            or_(_token.expires_at.is_(None), _token.expires_at > reading.now),
        )
        found = reading.session.scalars(select(_token.id).where(*closing).order_by(_token.id)).all()
        due = [id for ids in _batches(found) for _, id in _silent(reading, ids)]
    closed = 0
    for ids in _batches(due):
        with database.write(now()) as change:
            # They may have been used since, or been closed by another node.
            silent = _silent(change, ids)
            for company in sorted({of for of, _ in silent}):
                revoke(change, system, [id for of, id in silent if of == company])
        closed += len(silent)
        if not pause():
            break
    return closed


def _silent(reading: Reading, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Company and id of those tokens of *ids* that close now."""
    silences = Silences(reading)
    rows = reading.session.execute(
        STORED.where(_token.id.in_(ids), _token.deactivated_at.is_(None)).order_by(_token.id)
    )
    return [(row.company_id, row.id) for row in rows if silences.of(row).is_over]


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
