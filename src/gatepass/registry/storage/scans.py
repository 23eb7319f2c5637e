"""Lists made of index scans, newest first: a page of them, and how many records they have.

A list is one scan, or several whose newest records are merged, each read no further than the page.
So the work of a page doesn't grow with the table, as long as each scan finds what it looks for.
All functions belong in a block of ``by_index``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    and_,
    case,
    distinct,
    func,
    select,
    true,
    tuple_,
    union,
    union_all,
)

from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import COUNT_LIMIT, Cursor

#: Up to this many rows of a scan are cheap to read and sort.
MANY = 2_000

# How many rows show how many of them match.
_SAMPLE = 100
# Reading a row that leads to a record takes as long as reading so many in an index of the records.
_DETOUR = 2
# A way of this cost is taken at once: to look for a better one takes longer than it saves.
_GOOD = 2.5
_BY_INDEX = {
    "enable_bitmapscan": "off",
    "enable_seqscan": "off",
    "enable_sort": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
_SET = "; ".join(f"SET LOCAL {name} = {value}" for name, value in _BY_INDEX.items())
_RESET = "; ".join(f"SET LOCAL {name} = DEFAULT" for name in _BY_INDEX)


@dataclass(frozen=True)
class Scan:
    """Records found in one index.

    Attributes:
        table: with the columns ``created_at`` and ``id`` of the records.
        range: conditions of *table* that select a range of an index.
        which: further conditions of the records.
        records: the table of the records, if *table* is another one.
        few: whether all rows are read and sorted, because they are few; otherwise the index has the
            rows of *range* in the order of the list.
        shared: whether a record may come more than once, from this scan or another of the list.
        counted: another scan of the same records, by an index that is faster to count.
    """

    table: Table
    range: Sequence[ColumnElement[bool]]
    which: Sequence[ColumnElement[bool]] = ()
    records: Table | None = None
    few: bool = False
    shared: bool = False
    counted: "Scan | None" = None

    def first(self, after: Cursor | None, limit: int, *, oldest: bool) -> Select[tuple[int, str]]:
        """The first records after *after*; all of them, in no order, if they are few."""
        at, key = self.table.c.created_at, self.table.c.id
        rows = self._rows(at, key).where(*self.which)
        if after is not None:
            place, last = tuple_(at, key), tuple_(after.number, after.id)
            rows = rows.where(place > last if oldest else place < last)
        if self.few:
            return rows
        if self.shared:
            # A record may have a word more than once.
            rows = rows.distinct()
        return (rows.order_by(at, key) if oldest else self._in_order(rows)).limit(limit)

    def some(self, limit: int | None) -> Select[tuple[str]]:
        """Ids of any of the records, to count them; all of them if *limit* is None."""
        if self.counted is not None:
            return self.counted.some(limit)
        rows = self._rows(self.table.c.id).where(*self.which).limit(limit)
        return rows if self.few else self._in_order(rows)

    def sample(self) -> Select[tuple[int]]:
        """For the newest rows of the range, 1 if the record matches, else 0."""
        matches = case((and_(true(), *self.which), 1), else_=0).label("matches")
        return self._in_order(self._rows(matches)).limit(_SAMPLE)

    def _rows(self, *columns: ColumnElement[Any]) -> Select[Any]:
        rows = select(*columns).select_from(self.table).where(*self.range)
        if self.records is None or not self.which:
            return rows
        return rows.join(self.records, self.records.c.id == self.table.c.id)

    def _in_order(self, rows: Select[Any]) -> Select[Any]:
        # Also where the order doesn't matter, so that PostgreSQL follows the index.
        return rows.order_by(self.table.c.created_at.desc(), self.table.c.id.desc())


@dataclass(frozen=True)
class Way:
    """Scans that find the records of a list together, led by one of its filters.

    Attributes:
        rows: how many rows the scans' ranges have, up to ``MANY``; one more means more than that.
    """

    scans: list[Scan]
    rows: int


def either(ways: Sequence[Way | None]) -> Way | None:
    """The records that at least one of *ways* finds; None if one of them is None."""
    scans: list[Scan] = []
    rows = 0
    for way in ways:
        if way is None:
            return None
        scans += [replace(scan, shared=True) for scan in way.scans]
        rows += way.rows
    return Way(scans, rows)


def fastest(
    reading: Reading,
    ways: Sequence[Way | None],
    walk: Sequence[Scan],
    which: Sequence[ColumnElement[bool]],
    *,
    narrow: bool,
) -> list[Scan]:
    """The scans that find the records of a list soonest.

    Args:
        ways: the filters that have an index of their own; None is one that can't lead.
        walk: the other filters, by indexes of the records themselves.
        which: the filters of *ways*, as conditions for *walk*.
        narrow: whether *walk* has a filter, so that it may have few rows.
    """
    walking = [replace(scan, which=which) for scan in walk]
    leads = sorted((way for way in ways if way is not None), key=lambda way: way.rows)
    if leads and leads[0].rows <= MANY:
        return leads[0].scans
    costs = []
    for way in leads:
        cost = _cost(reading, way.scans)
        if cost <= _GOOD:
            return way.scans
        costs.append((cost, way.scans))
    if not costs or (narrow and size(reading, walk) <= MANY):
        return walking
    costs.append((_cost(reading, walking), walking))
    return min(costs, key=lambda each: each[0])[1]


def few(
    reading: Reading,
    ways: Sequence[Way | None],
    walk: Sequence[Scan],
    which: Sequence[ColumnElement[bool]],
    *,
    narrow: bool,
) -> list[Scan] | None:
    """Scans of at most ``MANY`` rows that find the records of a list; None if there are none.

    Args:
        ways, walk, which, narrow: as ``fastest`` takes them.
    """
    shortest = min((way for way in ways if way is not None), key=lambda way: way.rows, default=None)
    if shortest is not None and shortest.rows <= MANY:
        return shortest.scans
    if narrow and size(reading, walk) <= MANY:
        return [replace(scan, which=which) for scan in walk]
    return None


@contextmanager
def by_index(reading: Reading) -> Iterator[None]:
    """Within the block, PostgreSQL follows the index of each scan.

    It would read a table from its start, in the hope to find enough there, or collect or sort what
    it takes for few rows. But records that match aren't spread evenly, and filters depend on each
    other. JIT compilation and parallel workers take longer to start than these queries.
    """
    connection = reading.session.connection()
    if connection.dialect.name != "postgresql":
        yield
        return
    connection.exec_driver_sql(_SET)
    yield
    connection.exec_driver_sql(_RESET)


def page(
    reading: Reading,
    scans: Sequence[Scan],
    after: Cursor | None,
    limit: int,
    *,
    oldest: bool = False,
) -> tuple[list[str], str | None]:
    """The ids of the page after *after*, newest first, and the cursor of the next; None at the end.

    Args:
        limit: the most ids of the page.
        oldest: the oldest first instead.
    """
    if not scans:
        return [], None
    heads = [apart(scan.first(after, limit + 1, oldest=oldest)) for scan in scans]
    merged = heads[0] if len(heads) == 1 else union(*map(select, heads)).subquery()
    key = [merged.c.created_at, merged.c.id]
    in_order = key if oldest else [column.desc() for column in key]
    rows = select(merged).distinct().order_by(*in_order).limit(limit + 1)
    found = reading.session.execute(rows).all()
    shown = found[:limit]
    more = str(Cursor(shown[-1].created_at, shown[-1].id)) if len(found) > limit else None
    return [row.id for row in shown], more


def count(reading: Reading, scans: Sequence[Scan]) -> int:
    """How many records the scans have, up to ``COUNT_LIMIT``; one more means more than that."""
    if not any(scan.shared for scan in scans):
        return size(reading, scans, COUNT_LIMIT)
    most = COUNT_LIMIT + 1
    numbers = []
    for scan in scans:
        numbers.append(_different(reading, scan, most))
        if numbers[-1] >= most:
            return most
    if len(scans) == 1:
        return numbers[0]
    ids = union(*(select(scan.some(None).subquery()) for scan in scans)).subquery()
    found = reading.session.execute(select(func.count()).select_from(ids)).scalar_one()
    return min(found, most)


def size(reading: Reading, scans: Sequence[Scan], most: int = MANY) -> int:
    """How many rows the scans find, up to *most*; one more means more than that."""
    found = 0
    for scan in scans:
        some = scan.some(most + 1 - found).subquery()
        found += reading.session.execute(select(func.count()).select_from(some)).scalar_one()
        if found > most:
            break
    return found


def _different(reading: Reading, scan: Scan, most: int) -> int:
    """How many different records a scan has, up to *most*."""
    limit = most
    while True:
        some = scan.some(limit).subquery()
        read, different = reading.session.execute(
            select(func.count(), func.count(distinct(some.c.id)))
        ).one()
        if different >= most or read < limit:
            return min(different, most)
        # Records that came more than once have used up the limit.
        limit *= 4


def _cost(reading: Reading, scans: Sequence[Scan]) -> float:
    """How many rows are read until one matches, judged by the newest ones."""
    if not any(scan.which for scan in scans):
        return 1.0
    samples = [select(scan.sample().subquery()) for scan in scans if not scan.few]
    if not samples:
        return 1.0
    rows = union_all(*samples).subquery()
    read, matched = reading.session.execute(
        select(func.count(), func.coalesce(func.sum(rows.c.matches), 0))
    ).one()
    detour = _DETOUR if any(scan.records is not None for scan in scans) else 1
    return detour * float(read) / max(float(matched), 0.5)


def apart(rows: Select[Any] | CompoundSelect[Any]) -> CTE:
    """*rows* as they are: sorting them later can't make the engine read them by another index."""
    return rows.cte().prefix_with("MATERIALIZED")
