"""Use of tokens, counted: folded in from the nodes' spools, each line exactly once.

How far a spool has been folded moves in the very transaction that adds its counts. So a folder that
is killed before its commit has counted nothing, and one that was killed after it, or a second one,
finds the place moved.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Table, case, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading, Turn, Write, wait_for_turn
from gatepass.registry.storage.tables import (
    token_use,
    token_use_addresses,
    token_use_days,
    usage_spools,
)

DAY_MS = 86_400_000
#: Counts per day are kept this long.
DAYS_KEPT = 90
#: How many of the addresses a token was used from last are kept.
ADDRESSES_KEPT = 10
#: Where counts stop: the most that a column holds.
MOST = 2**63 - 1

_TOKENS_AT_ONCE = 500


class Batch(Protocol):
    """One line of a spool.

    Attributes:
        tokens: by token id: how often allowed, when last (Unix ms), from which address (text or
            None), for which permission ("" where none was asked for).
        decisions: by reason: how many.
    """

    tokens: dict[str, tuple[int, int, str | None, str]]
    decisions: dict[str, int]


@dataclass(frozen=True, slots=True)
class AddressUse:
    """One of the addresses a token was used from: when last (Unix ms), and how often."""

    address: str
    last_at: int
    uses: int


def folded_to(reading: Reading, name: str) -> int:
    """How many bytes of the spool *name* have been counted."""
    found: int | None = reading.session.execute(
        select(usage_spools.c.folded_to).where(usage_spools.c.name == name)
    ).scalar_one_or_none()
    return found or 0


def fold(write: Write, name: str, start: int, end: int, batches: Iterable[Batch]) -> bool:
    """Count what a spool holds from byte *start* to *end*.

    Returns:
        Whether it was counted. False, and nothing changed, if the spool has been folded to
        elsewhere than *start*: someone else was quicker.
    """
    # One folder at a time: nodes that count the same tokens at once would only block each other.
    wait_for_turn(write, Turn.counted_use)
    if not _move(write, name, start, end):
        return False
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
    today = write.now // DAY_MS
    write.session.execute(delete(token_use_days).where(token_use_days.c.day < today - DAYS_KEPT))
    return True


def forget(write: Write, name: str) -> None:
    """Forget a spool whose file is removed; its name is never used again."""
    write.session.execute(delete(usage_spools).where(usage_spools.c.name == name))


def decision_counts(reading: Reading) -> dict[str, int]:
    """How many decisions there were, by reason, on all nodes, as far as they are folded."""
    return {
        row.reason: row.total for row in reading.session.execute(select(tables.decision_counts))
    }


def daily(reading: Reading, tokens: Collection[str], *, days: int = 7) -> dict[str, list[int]]:
    """How often each token was used on each of the last *days* days (UTC), today last."""
    today: int = reading.now // DAY_MS
    counts = {token: [0] * days for token in tokens}
    rows = reading.session.execute(
        select(token_use_days).where(
            token_use_days.c.token_id.in_(counts), token_use_days.c.day > today - days
        )
    )
    for row in rows:
        # A day ahead of ours is of a node whose clock is a little fast.
        counts[row.token_id][min(row.day - today, 0) - 1] += row.uses
    return counts


def total(reading: Reading, token: str) -> int:
    """How often a token was allowed something, ever."""
    found: int | None = reading.session.execute(
        select(token_use.c.total).where(token_use.c.token_id == token)
    ).scalar_one_or_none()
    return found or 0


def addresses(reading: Reading, token: str) -> list[AddressUse]:
    """The addresses a token was used from last, latest first."""
    rows = reading.session.execute(
        select(token_use_addresses)
        .where(token_use_addresses.c.token_id == token)
        .order_by(token_use_addresses.c.last_at.desc(), token_use_addresses.c.address)
        .limit(ADDRESSES_KEPT)
    )
    return [AddressUse(row.address, row.last_at, row.uses) for row in rows]


class _Use:
    """What several batches say of one token."""

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
    """Add counts to what is there, up to ``MOST``; of two last uses the later one stays."""
    if not rows:
        return
    dialect = write.session.get_bind().dialect.name
    # The two dialects have the same clause in classes of their own.
    new = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    excluded = new.excluded
    changes: dict[str, Any] = {}
    for column in table.columns:
        if column.primary_key:
            continue
        if column.name in ("total", "uses"):
            more = excluded[column.name]
            # Not one too many: it would fail, each time anew, and nothing be counted any more.
            changes[column.name] = case((column > MOST - more, MOST), else_=column + more)
        else:
            # Whether this batch holds the later use decides of time, address and permission alike.
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


def _move(write: Write, name: str, start: int, end: int) -> bool:
    """Move a spool's place from *start* to *end*; False if it wasn't at *start*."""
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
