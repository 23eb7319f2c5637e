"""The calls of the last days that access tokens were allowed, equal ones of all days together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select

from gatepass.core.observed_call import DAY_MS
from gatepass.core.replay import SeenCall
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import observed_calls

_FACTS = ("permission", "second_permission", "route", "method", "address", "origin")


@dataclass(frozen=True, slots=True)
class SeenCalls:
    """Equal calls of a token: how many, the first and the last of them (Unix ms)."""

    call: SeenCall
    count: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Calls of some tokens.

    Attributes:
        rows: how many rows were read for them.
        of: the calls by token; tokens without any aren't named.
    """

    rows: int = 0
    of: dict[str, list[SeenCalls]] = field(default_factory=dict)


def seen(reading: Reading, tokens: Sequence[str], *, since: int, most: int) -> Seen:
    """The allowed calls of *tokens* (ids) since a time (Unix ms), as far as whole days can tell.

    Performs no permission check: the caller must have done it.

    Args:
        most: rows to read, refused calls' included; the others are passed over.
    """
    table = observed_calls.c
    rows = (
        select(observed_calls)
        .where(table.token_id.in_(tokens), table.day >= since // DAY_MS, table.last_at >= since)
        .limit(most)
        .subquery()
    )
    # Calls that were too many to be told apart have no reason.
    facts = [rows.c[name] for name in ("token_id", "allowed", "reason", *_FACTS)]
    grouped = select(
        *facts,
        func.count().label("rows"),
        func.sum(rows.c.uses).label("uses"),
        func.min(rows.c.first_at).label("first_at"),
        func.max(rows.c.last_at).label("last_at"),
    ).group_by(*facts)
    read = 0
    found: dict[str, list[SeenCalls]] = {}
    for row in reading.session.execute(grouped):
        read += row.rows
        if row.allowed:
            told_apart = row.reason is not None
            call = SeenCall(told_apart, *(row._mapping[name] for name in _FACTS))
            equal = SeenCalls(call, int(row.uses), row.first_at, row.last_at)
            found.setdefault(row.token_id, []).append(equal)
    return Seen(read, found)
