"""Keyset pagination of lists, newest first.

A page is found by key, not by offset. So the thousandth page is as fast as the first, and records
created or deleted between two pages neither repeat nor hide others.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Row, Select, Table, func, tuple_

from gatepass.core.errors import InvalidInput
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Reading

LARGEST_PAGE = 200
DEFAULT_PAGE = 50
#: Counting stops above it: "1,000+" is precise enough, and fast.
COUNT_LIMIT = 1_000

#: Some hold a label.
LONGEST_CURSOR = 2_000
_BIGGEST_NUMBER = 2**63 - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of records, newest first.

    Attributes:
        next: the ``cursor`` of the next page; None on the last page.
        count: number of matches over all pages; above ``COUNT_LIMIT`` it means more than that. None
            if not counted.
    """

    items: list[T]
    next: str | None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The sort key of the last record of a page: a time or number, and the id to break ties."""

    number: int
    id: str

    def __str__(self) -> str:
        return _encoded([self.number, self.id])


@dataclass(frozen=True, slots=True)
class SortedCursor:
    """The sort key of the last record of a page in an order of choice.

    Attributes:
        sort, order: the order, to which alone it belongs.
        value: what is sorted by; None comes last in either order, and so does each record after it.
        created_at, id: break ties.
    """

    sort: str
    order: str
    value: str | int | None
    created_at: int
    id: str

    def __str__(self) -> str:
        return _encoded([self.sort, self.order, self.value, self.created_at, self.id])


def read_sorted_cursor(
    text: str | None, sort: str, order: str, *, of: type[str] | type[int]
) -> SortedCursor | None:
    """Parse the ``next`` cursor of a page in this order.

    Args:
        of: the type of the values that are sorted by.

    Raises:
        InvalidInput: for field ``cursor``; it isn't one, or is of another order.
    """
    if text is None:
        return None
    with _refusing():
        its_sort, its_order, value, created_at, identifier = _decoded(text)
        cursor = SortedCursor(its_sort, its_order, value, created_at, identifier)
        _require(str(cursor) == text and (its_sort, its_order) == (sort, order))
        _require(_is_number(created_at) and _is_id(identifier))
        _require(value is None or type(value) is of)
        _require(storable(value) if isinstance(value, str) else value is None or _is_number(value))
    return cursor


def read_cursor(text: str | None) -> Cursor | None:
    """Parse the ``next`` cursor of a page.

    Raises:
        InvalidInput: for field ``cursor``; it isn't one.
    """
    if text is None:
        return None
    with _refusing():
        number, identifier = _decoded(text)
        cursor = Cursor(number, identifier)
        # Also refuses other spellings: each cursor has exactly one.
        _require(_is_number(number) and _is_id(identifier) and str(cursor) == text)
    return cursor


def _encoded(key: list[Any]) -> str:
    text = json.dumps(key, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decoded(text: str) -> Any:
    _require(len(text) <= LONGEST_CURSOR)
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise InvalidInput([("cursor", "Must be a cursor that a list has returned.")]) from None


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("not ours")


def _is_number(value: object) -> bool:
    return type(value) is int and abs(value) <= _BIGGEST_NUMBER


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and "\0" not in value


def each(page_after: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """All records of a list, over all pages.

    Args:
        page_after: returns the page after a cursor; None means the first page.
    """
    cursor: str | None = None
    while True:
        page = page_after(cursor)
        yield from page.items
        if page.next is None:
            return
        cursor = page.next


def read_limit(limit: int | None) -> int:
    """Parse the page size.

    Raises:
        InvalidInput: for field ``limit``; it isn't a whole number from 1 to 200.
    """
    if limit is None:
        return DEFAULT_PAGE
    if type(limit) is not int or not 1 <= limit <= LARGEST_PAGE:
        raise InvalidInput([("limit", f"Must be a whole number from 1 to {LARGEST_PAGE}.")])
    return limit


def contains(reading: Reading, text: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    """A condition: *text* contains *part*, compared exactly."""
    # Not LIKE: it would interpret % and _ in user input, and ignores case on SQLite only.
    position = func.instr if reading.session.get_bind().dialect.name == "sqlite" else func.strpos
    return position(text, part) > 0


def newest_first(
    reading: Reading,
    rows: Select[Any],
    table: Table,
    *,
    limit: int | None,
    cursor: str | None,
    by: str = "created_at",
    key: str = "id",
) -> tuple[Sequence[Row[Any]], str | None]:
    """One page of *rows*, newest first, by the columns *by* and *key* of *table*.

    Returns:
        The rows, and the cursor of the next page; None at the end.

    Raises:
        InvalidInput: for ``cursor`` or ``limit``.
    """
    after, limit = read_cursor(cursor), read_limit(limit)
    at, ties = table.c[by], table.c[key]
    if after is not None:
        rows = rows.where(tuple_(at, ties) < tuple_(after.number, after.id))
    found = reading.session.execute(rows.order_by(at.desc(), ties.desc()).limit(limit + 1)).all()
    page = found[:limit]
    more = None
    if len(found) > limit:
        more = str(Cursor(getattr(page[-1], by), getattr(page[-1], key)))
    return page, more
