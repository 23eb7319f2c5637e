"""Closes replaced tokens once they have been silent for long enough.

A round ends them sooner than their expiry, which ends them at the latest, whether or not a round
runs.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import or_, select

from gatepass.registry.storage.database import Database, Reading
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.calls.silence import Silences
from gatepass.registry.tokens.ending.rounds import deactivate_due
from gatepass.registry.tokens.records import STORED

_token = access_tokens.c


def close_silent(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Close all that are due; returns their number (``rounds.deactivate_due``)."""
    return deactivate_due(database, now, pause, cause="rotation", candidates=_closing, due=_silent)


def _closing(reading: Reading) -> Sequence[str]:
    return reading.session.scalars(
        select(_token.id)
        .where(
            _token.rotation_close == "when_silent",
            _token.deactivated_at.is_(None),
            or_(_token.expires_at.is_(None), _token.expires_at > reading.now),
        )
        .order_by(_token.id)
    ).all()


def _silent(reading: Reading, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Company and id of those tokens of *ids* that close now."""
    silences = Silences(reading, ids)
    rows = reading.session.execute(
        STORED.where(_token.id.in_(ids), _token.deactivated_at.is_(None)).order_by(_token.id)
    )
    return [(row.company_id, row.id) for row in rows if silences.of(row).is_over]
