"""Pages of a list in an order of choice: by a value of the records, with ties by their age.

Records without a value come last in either order. A list is two runs, those with a value and those
without one, each made of scans that follow an index in this order (``scans``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Table,
    and_,
    null,
    or_,
    select,
    tuple_,
    union,
    union_all,
)

from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import SortedCursor
from gatepass.registry.storage.scans import Scan, apart


@dataclass(frozen=True)
class SortedScan:
    """Records found in one index, which has them by value, ``created_at`` and ``id``.

    Attributes:
        table: with the columns ``created_at`` and ``id`` of the records.
        value: what is sorted by.
        range: conditions of *table* that select a range of the index.
        which: further conditions of the records.
        records: the table of the records, if *table* is another one.
        few: whether all rows are read and sorted, because they are few.
        source: what the records are read from, if *table* lacks the value.
        without: whether it is of the run of records without a value.
    """

    table: Table
    value: ColumnElement[Any]
    range: Sequence[ColumnElement[bool]]
    which: Sequence[ColumnElement[bool]] = ()
    records: Table | None = None
    few: bool = False
    source: Any = None
    without: bool = False

    def first(self, after: SortedCursor | None, limit: int, *, descending: bool) -> Select[Any]:
        """The value, ``created_at`` and ``id`` of the first records after *after*."""
        columns = self.table.c
        value = null() if self.without else self.value
        rows = select(value.label("value"), columns.created_at, columns.id)
        rows = rows.select_from(self.table if self.source is None else self.source)
        rows = rows.where(*self.range, *self.which)
        if self.records is not None and self.which:
            rows = rows.join(self.records, self.records.c.id == columns.id)
        key: list[ColumnElement[Any]] = [columns.created_at, columns.id]
        if after is not None:
            last = [after.created_at, after.id]
            if self.without:
                rows = rows.where(_beyond(key, last, descending))
            else:
                rows = rows.where(_beyond([self.value, *key], [after.value, *last], descending))
        if self.few:
            return rows
        # Also by a value that all lack: PostgreSQL doesn't see that the index is in order then.
        return rows.order_by(*_directed([self.value, *key], descending)).limit(limit)


def page(
    reading: Reading,
    runs: Sequence[Sequence[SortedScan]],
    after: SortedCursor | None,
    limit: int,
    *,
    descending: bool,
) -> list[Row[Any]]:
    """The rows (``value``, ``created_at``, ``id``) of the page after *after*, and one more.

    Args:
        runs: the scans of the records with a value, and of those without one.
        limit: the most rows of the page.
    """
    with_value, without = runs
    found: list[Row[Any]] = []
    if after is None or after.value is not None:
        found += _run(reading, with_value, after, limit + 1, descending)
        after = None
    if len(found) <= limit:
        found += _run(reading, without, after, limit + 1 - len(found), descending)
    return found


def page_of_few(
    reading: Reading,
    scans: Sequence[Scan],
    rows: Select[Any],
    after: SortedCursor | None,
    limit: int,
    *,
    descending: bool,
) -> list[Row[Any]]:
    """The same of records that are few: all of them are read and sorted.

    Args:
        scans: find the records.
        rows: selects ``value``, ``created_at`` and ``id`` of records.
    """
    if not scans:
        return []
    ids = apart(union(*(select(scan.some(None).subquery()) for scan in scans)))
    value, created_at, identifier = rows.selected_columns
    rows = rows.where(identifier.in_(select(ids.c.id)))
    key = [created_at, identifier]
    if after is not None:
        last = [after.created_at, after.id]
        beyond = and_(value.is_(None), _beyond(key, last, descending))
        if after.value is not None:
            beyond = or_(_beyond([value, *key], [after.value, *last], descending), value.is_(None))
        rows = rows.where(beyond)
    in_order = [value.is_(None), *_directed([value, *key], descending)]
    return list(reading.session.execute(rows.order_by(*in_order).limit(limit + 1)).all())


def _run(
    reading: Reading,
    run: Sequence[SortedScan],
    after: SortedCursor | None,
    limit: int,
    descending: bool,
) -> list[Row[Any]]:
    if not run:
        return []
    heads = [apart(scan.first(after, limit, descending=descending)) for scan in run]
    merged = heads[0] if len(heads) == 1 else union_all(*map(select, heads)).subquery()
    in_order = _directed([merged.c.value, merged.c.created_at, merged.c.id], descending)
    rows = select(merged).order_by(*in_order).limit(limit)
    return list(reading.session.execute(rows).all())


def _beyond(
    key: Sequence[ColumnElement[Any]], last: Sequence[Any], descending: bool
) -> ColumnElement[bool]:
    place, end = tuple_(*key), tuple_(*last)
    return place < end if descending else place > end


def _directed(key: Sequence[ColumnElement[Any]], descending: bool) -> list[ColumnElement[Any]]:
    return [column.desc() if descending else column.asc() for column in key]
