"""The calls of each token in each of the last 24 hours (UTC), allowed and refused.

Folded in with the use counts: a row of a token and hour is written where its calls are, and nowhere
else. Calls that were counted together, usually those of two seconds, are in the hour of the last.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import select, text

from gatepass.core.observed_call import CountedCall
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import token_call_hours

HOUR_MS = 3_600_000
#: Hours that are shown, and written. Older ones are left to garbage collection, which deletes them
#: a day later: it and a fold never wait for each other's rows.
HOURS = 24
#: The largest count of a row. A sum of two can't overflow, nor can that of all hours.
MOST = 2**48

_hours = token_call_hours.c
_COLUMNS = ("hour", "token_id", "allowed", "refused")
_ADD_ON_POSTGRESQL = text(
    "INSERT INTO token_call_hours (hour, token_id, allowed, refused) "
    "SELECT * FROM unnest(CAST(:hour AS integer[]), CAST(:token_id AS text[]), "
    "CAST(:allowed AS bigint[]), CAST(:refused AS bigint[])) "
    "ON CONFLICT (hour, token_id) DO UPDATE SET "
    "allowed = least(token_call_hours.allowed + excluded.allowed, :most), "
    "refused = least(token_call_hours.refused + excluded.refused, :most)"
).bindparams(most=MOST)
_ADD_ON_SQLITE = text(
    "INSERT INTO token_call_hours (hour, token_id, allowed, refused) "
    "VALUES (:hour, :token_id, :allowed, :refused) "
    "ON CONFLICT (hour, token_id) DO UPDATE SET "
    "allowed = min(allowed + excluded.allowed, :most), "
    "refused = min(refused + excluded.refused, :most)"
).bindparams(most=MOST)


class Batch(Protocol):
    """Allowed calls by token: their number, the time of the last, and more about that one."""

    tokens: dict[str, tuple[int, int, str | None, str]]


@dataclass(frozen=True, slots=True)
class CallsByHour:
    """How many calls of a token were allowed and refused in each hour, the present one last."""

    allowed: list[int]
    refused: list[int]


def fold(write: Write, batches: Iterable[Batch], calls: Iterable[CountedCall]) -> None:
    """Add calls to the rows. The caller must have serialized it (``AdvisoryLock.usage``).

    Args:
        batches: of allowed calls. Verifiers of former releases report nothing else.
        calls: of which the refused ones are counted.
    """
    present = write.now // HOUR_MS
    rows: dict[tuple[int, str], dict[str, Any]] = {}

    def add(outcome: str, token: str, count: int, at: int) -> None:
        # A later hour comes from a clock that is slightly fast.
        hour = min(at // HOUR_MS, present)
        if hour > present - HOURS:
            row = rows.setdefault(
                (hour, token), {"hour": hour, "token_id": token, "allowed": 0, "refused": 0}
            )
            row[outcome] = min(row[outcome] + count, MOST)

    for batch in batches:
        for token, (count, at, *_) in batch.tokens.items():
            add("allowed", token, count, at)
    for call in calls:
        if not call.allowed:
            add("refused", call.token, call.count, call.last_at)
    if not rows:
        return
    if write.session.get_bind().dialect.name == "postgresql":
        # The driver would send a list of rows one by one.
        columns = {name: [row[name] for row in rows.values()] for name in _COLUMNS}
        write.session.execute(_ADD_ON_POSTGRESQL, columns)
    else:
        write.session.execute(_ADD_ON_SQLITE, list(rows.values()))


def of_token(reading: Reading, token_id: str) -> CallsByHour:
    """The calls of a token in the last ``HOURS`` hours.

    Performs no permission check: the caller must have done it.
    """
    first = reading.now // HOUR_MS - HOURS + 1
    found = CallsByHour([0] * HOURS, [0] * HOURS)
    rows = reading.session.execute(
        select(token_call_hours).where(
            # Each of them, so that the key finds them: it begins with the hour.
            _hours.hour.in_(range(first, first + HOURS)),
            _hours.token_id == token_id,
        )
    )
    for row in rows:
        found.allowed[row.hour - first] = row.allowed
        found.refused[row.hour - first] = row.refused
    return found
