"""Use counts of tokens, folded in from the nodes' spool files, each line exactly once.

The offset of a spool is updated in the transaction that adds its counts. So a process killed before
the commit has counted nothing; one killed after it, or a concurrent one, finds the new offset.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Select, Table, case, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepass.core.observed_call import CountedCall
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import AdvisoryLock, Reading, Write, take_advisory_lock
from gatepass.registry.storage.tables import (
    token_use,
    token_use_addresses,
    token_use_days,
    usage_spools,
)
from gatepass.registry.tokens.calls import hours, observed_calls, recency

DAY_MS = 86_400_000
#: How many days of daily counts are kept.
DAYS_KEPT = 90
#: How many client addresses are kept for each token, the latest used.
ADDRESSES_KEPT = 10
#: The largest count, which the column can hold.
MOST = 2**63 - 1

_TOKENS_AT_ONCE = 500


class Batch(Protocol):
    """One line of a spool.

    Attributes:
        tokens: by token id: the number of allowed calls, the time of the last (Unix ms), its
            address (text or None) and its permission ("" if none was requested).
        decisions: number of decisions by reason.
    """

    tokens: dict[str, tuple[int, int, str | None, str]]
    decisions: dict[str, int]


@dataclass(frozen=True, slots=True)
class AddressUse:
    """Use of a token from one address; the last at ``last_at`` (Unix ms)."""

    address: str
    last_at: int
    uses: int


def folded_to(reading: Reading, name: str) -> int:
    """The number of bytes of the spool *name* that have been counted."""
    found: int | None = reading.session.execute(
        select(usage_spools.c.folded_to).where(usage_spools.c.name == name)
    ).scalar_one_or_none()
    return found or 0


def fold(
    write: Write,
    name: str,
    start: int,
    end: int,
    batches: Iterable[Batch],
    calls: Iterable[CountedCall] = (),
) -> bool:
    """Count the batches and the observed calls of a spool from byte *start* to *end*.

    Returns:
        Whether they were counted. False, and nothing changed, if the spool's offset isn't *start*:
        another process was faster.
    """
    # Serialized by an advisory lock: nodes counting the same tokens would only block each other.
    take_advisory_lock(write, AdvisoryLock.usage)
    if not _advance(write, name, start, end):
        return False
    batches, calls = list(batches), list(calls)
    uses: dict[str, _Use] = {}
    decisions: Counter[str] = Counter()
    for batch in batches:
        decisions.update(batch.decisions)
        for token, counted in batch.tokens.items():
            uses.setdefault(token, _Use()).add(*counted)
    _add_uses(write, uses)
    _add(
        write,
        tables.decision_counts,
        [{"reason": reason, "total": min(total, MOST)} for reason, total in decisions.items()],
    )
    observed_calls.fold(write, calls)
    hours.fold(write, batches, calls)
    today = write.now // DAY_MS
    write.session.execute(delete(token_use_days).where(token_use_days.c.day < today - DAYS_KEPT))
    recency.used(write, {token: use.last[0] for token, use in uses.items()})
    return True


def forget(write: Write, name: str) -> None:
    """Delete the offset of a spool whose file was removed; its name is never reused."""
    write.session.execute(delete(usage_spools).where(usage_spools.c.name == name))


def decision_counts(reading: Reading) -> dict[str, int]:
    """The number of decisions by reason, on all nodes, as far as they are counted."""
    return {
        row.reason: row.total for row in reading.session.execute(select(tables.decision_counts))
    }


def daily(reading: Reading, tokens: Collection[str], *, days: int = 7) -> dict[str, list[int]]:
    """The uses of each token on each of the last *days* days (UTC), today last."""
    return _daily(reading, tokens, days, select(token_use_days))


def daily_refused(
    reading: Reading, tokens: Collection[str], *, days: int = 7
) -> dict[str, list[int]]:
    """The refused calls with each token's secret on each of the last *days* days, likewise."""
    return _daily(reading, tokens, days, observed_calls.REFUSED_PER_DAY)


def total(reading: Reading, token: str) -> int:
    """The total number of allowed calls of a token."""
    found: int | None = reading.session.execute(
        select(token_use.c.total).where(token_use.c.token_id == token)
    ).scalar_one_or_none()
    return found or 0


def addresses(reading: Reading, token: str) -> list[AddressUse]:
    """The addresses a token was last used from, the latest first."""
    rows = reading.session.execute(
        select(token_use_addresses)
        .where(token_use_addresses.c.token_id == token)
        .order_by(token_use_addresses.c.last_at.desc(), token_use_addresses.c.address)
        .limit(ADDRESSES_KEPT)
    )
    return [AddressUse(row.address, row.last_at, row.uses) for row in rows]


def _daily(
    reading: Reading, tokens: Collection[str], days: int, counted: Select[Any]
) -> dict[str, list[int]]:
    today: int = reading.now // DAY_MS
    counts = {token: [0] * days for token in tokens}
    of = counted.selected_columns
    wanted = counted.where(of.token_id.in_(counts), of.day > today - days)
    for row in reading.session.execute(wanted) if counts else ():
        # A later day comes from a node whose clock is slightly fast.
        counts[row.token_id][min(row.day - today, 0) - 1] += int(row.uses)
    return counts


class _Use:
    """Use of one token, summed over several batches."""

    def __init__(self) -> None:
        self.total = 0
        self.last: tuple[int, str | None, str | None] = (0, None, None)
        self.days: Counter[int] = Counter()
        self.addresses: dict[str, tuple[int, int]] = {}

    def add(self, count: int, at: int, address: str | None, permission: str) -> None:
        self.total += count
        self.days[at // DAY_MS] += count
        if at >= self.last[0]:
            self.last = (at, address, permission or None)
        if address is not None:
            latest, before = self.addresses.get(address, (0, 0))
            self.addresses[address] = (max(at, latest), before + count)


def _add_uses(write: Write, uses: dict[str, _Use]) -> None:
    _add(
        write,
        token_use,
        [
            {
                "token_id": token,
                "last_at": use.last[0],
                "last_address": use.last[1],
                "last_permission": use.last[2],
                "total": min(use.total, MOST),
            }
            for token, use in uses.items()
        ],
    )
    _add(
        write,
        token_use_days,
        [
            {"token_id": token, "day": day, "uses": min(count, MOST)}
            for token, use in uses.items()
            for day, count in use.days.items()
        ],
    )
    _add(
        write,
        token_use_addresses,
        [
            {"token_id": token, "address": address, "last_at": at, "uses": min(count, MOST)}
            for token, use in uses.items()
            for address, (at, count) in use.addresses.items()
        ],
    )
    _drop_old_addresses(write, [token for token, use in uses.items() if use.addresses])


def _add(write: Write, table: Table, rows: list[dict[str, Any]]) -> None:
    """Add counts to the stored ones, up to ``MOST``, and keep the later of two last uses."""
    if not rows:
        return
    dialect = write.session.get_bind().dialect.name
    # Both dialects have the same clause, in different classes.
    new = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    excluded = new.excluded
    changes: dict[str, Any] = {}
    for column in table.columns:
        if column.primary_key:
            continue
        if column.name in ("total", "uses"):
            more = excluded[column.name]
            # An overflow would fail every time, and nothing would be counted any more.
            changes[column.name] = case((column > MOST - more, MOST), else_=column + more)
        else:
            # Time, address and permission all come from the later use.
            later = excluded["last_at"] >= table.c.last_at
            changes[column.name] = case((later, excluded[column.name]), else_=column)
    keys = [column.name for column in table.primary_key]
    write.session.execute(new.on_conflict_do_update(index_elements=keys, set_=changes), rows)


def _drop_old_addresses(write: Write, tokens: Sequence[str]) -> None:
    table = token_use_addresses.c
    for start in range(0, len(tokens), _TOKENS_AT_ONCE):
        crowded = write.session.scalars(
            select(table.token_id)
            .where(table.token_id.in_(tokens[start : start + _TOKENS_AT_ONCE]))
            .group_by(table.token_id)
            .having(func.count() > ADDRESSES_KEPT)
        ).all()
        for token in crowded:
            kept = [used.address for used in addresses(write, token)]
            write.session.execute(
                delete(token_use_addresses).where(
                    table.token_id == token, table.address.not_in(kept)
                )
            )


def _advance(write: Write, name: str, start: int, end: int) -> bool:
    """Advance a spool's offset from *start* to *end*; False if it isn't *start*."""
    if folded_to(write, name) != start:
        return False
    if start == 0:
        write.session.execute(delete(usage_spools).where(usage_spools.c.name == name))
        write.session.execute(insert(usage_spools), {"name": name, "folded_to": end})
    else:
        write.session.execute(
            update(usage_spools).where(usage_spools.c.name == name).values(folded_to=end)
        )
    return True
