"""Lists made of index scans, newest first: a page of them, and how many records they have.

A list is one scan, or several whose newest records are merged, each read no further than the page.
So the work of a page doesn't grow with the table, as long as each scan finds what it looks for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    distinct,
    func,
    select,
    tuple_,
    union,
    union_all,
)

from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import COUNT_LIMIT, Cursor, read_cursor, read_limit

#: Up to this many records of a scan are cheap to read and sort.
MANY = 2_000


@dataclass(frozen=True)
class Scan:
    """Some records, read from one index.

    Attributes:
        table: with the columns ``created_at`` and ``id`` of the records.
        conditions: of *table*; they select a range of an index that is ordered by these columns, or
            few records.
        counting: the same with other expressions, if another index counts the records; else None.
        records: the table of the records, if *table* is another one.
        which: conditions of *records*.
        repeated: whether *table* may have a record more than once.
    """

    table: Table
    conditions: Sequence[ColumnElement[bool]]
    counting: Sequence[ColumnElement[bool]] | None = None
    records: Table | None = None
    which: Sequence[ColumnElement[bool]] = ()
    repeated: bool = False

    def newest(self, after: Cursor | None, limit: int) -> Select[tuple[int, str]]:
        """The newest records after *after*."""
        at, key = self.table.c.created_at, self.table.c.id
        rows = self._rows(select(at, key), self.conditions)
        if after is not None:
            rows = rows.where(tuple_(at, key) < tuple_(after.number, after.id))
        if self.repeated:
            rows = rows.distinct()
        return rows.order_by(at.desc(), key.desc()).limit(limit)

    def some(self, limit: int) -> Select[tuple[str]]:
        """Ids of any of the records, to count them; one may be repeated."""
        conditions = self.conditions if self.counting is None else self.counting
        return self._rows(select(self.table.c.id), conditions).limit(limit)

    def _rows(self, rows: Select[Any], conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
        rows = rows.select_from(self.table).where(*conditions)
        if self.records is None or not self.which:
            return rows
        return rows.join(self.records, self.records.c.id == self.table.c.id).where(*self.which)


#: Scans of the records that one filter of several selects, with conditions for the others, and how
#: many rows the scans have, up to ``MANY + 1``.
Lead = tuple[list[Scan], int]


def either(leads: Sequence[Lead | None]) -> Lead | None:
    """The scans of all *leads*: of the records that at least one selects."""
    found: list[Scan] = []
    rows = 0
    for lead in leads:
        if lead is None:
            return None
        found += lead[0]
        rows += lead[1]
    return found, rows


def leading(
    reading: Reading, leads: Iterable[Lead | None], walk: list[Scan], narrow: list[Scan] | None
) -> list[Scan]:
    """The scans that read the fewest rows of those that find the same records.

    Args:
        leads: by the filters that have an index of their own; None is one that can't lead.
        walk: scans of all other indexes of the list, with all filters as conditions.
        narrow: the same without the filters of *leads*, if that makes *walk* few rows; else None.
    """
    usable = [lead for lead in leads if lead is not None]
    if not usable:
        return walk
    found, rows = min(usable, key=lambda lead: lead[1])
    if rows > MANY and narrow is not None and size(reading, narrow) <= MANY:
        return walk
    return found


def page(
    reading: Reading, scans: Sequence[Scan], *, limit: int | None, cursor: str | None
) -> tuple[list[str], str | None]:
    """The ids of one page, newest first, and the cursor of the next page; None at the end.

    Raises:
        InvalidInput: for ``cursor`` or ``limit``.
    """
    after, limit = read_cursor(cursor), read_limit(limit)
    if not scans:
        return [], None
    heads = [scan.newest(after, limit + 1).subquery() for scan in scans]
    rows: Select[Any] = select(heads[0])
    if len(heads) > 1:
        merged = union(*(select(head) for head in heads)).subquery()
        rows = (
            select(merged)
            .order_by(merged.c.created_at.desc(), merged.c.id.desc())
            .limit(limit + 1)
        )
    found = reading.session.execute(rows).all()
    shown = found[:limit]
    more = str(Cursor(shown[-1].created_at, shown[-1].id)) if len(found) > limit else None
    return [row.id for row in shown], more


def count(reading: Reading, scans: Sequence[Scan]) -> int:
    """How many records the scans have, up to ``COUNT_LIMIT``; one more means more than that."""
    most = COUNT_LIMIT + 1
    if not scans:
        return 0
    limit = most
    while True:
        read, different = _counted(reading, scans, limit)
        if different >= most or read < limit:
            return min(different, most)
        # Records that were repeated have used up the limit.
        limit *= 4


def size(reading: Reading, scans: Sequence[Scan], most: int = MANY) -> int:
    """How many rows the scans read, up to *most*; one more means more than that."""
    read, _ = _counted(reading, scans, most + 1) if scans else (0, 0)
    return min(read, most + 1)


def _counted(reading: Reading, scans: Sequence[Scan], limit: int) -> tuple[int, int]:
    """How many rows the scans read, up to *limit* each, and how many different records these are."""
    each = [select(scan.some(limit).subquery().c.id) for scan in scans]
    rows = (each[0] if len(each) == 1 else union_all(*each)).subquery()
    found = reading.session.execute(
        select(func.count(), func.count(distinct(rows.c.id))).select_from(rows)
    ).one()
    return found[0], found[1]
