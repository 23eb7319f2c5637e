"""Orders of the list of access tokens, and its pages in each of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, func, select

from gatepass.core.errors import InvalidInput
from gatepass.registry.storage import scans, sorted_scans
from gatepass.registry.storage.paging import (
    Cursor,
    SortedCursor,
    read_cursor,
    read_sorted_cursor,
)
from gatepass.registry.storage.sorted_scans import SortedScan
from gatepass.registry.storage.tables import access_token_recency, access_tokens
from gatepass.registry.tokens.lists.selection import Selection

#: What a list can be sorted by.
SORTS = ("created_at", "label", "expires_at", "last_used")
ORDERS = ("asc", "desc")

_token, _recency = access_tokens.c, access_token_recency.c
_with_use = access_tokens.join(access_token_recency, _recency.id == _token.id)
_last_at = func.nullif(_recency.last_at, 0)
_VALUES: dict[str, ColumnElement[Any]] = {
    "label": _token.label_folded,
    "expires_at": _token.expires_at,
    "last_used": _last_at,
}

_Runs = tuple[list[SortedScan], list[SortedScan]]


@dataclass(frozen=True, slots=True)
class Order:
    """An order of the list."""

    sort: str
    order: str

    @property
    def newest_first(self) -> bool:
        """Whether it is the default."""
        return (self.sort, self.order) == ("created_at", "desc")

    def read_cursor(self, text: str | None) -> Cursor | SortedCursor | None:
        """Parse the cursor of a page in this order.

        Raises:
            InvalidInput: for ``cursor``; it isn't one, or is of another order.
        """
        if self.newest_first:
            return read_cursor(text)
        of = str if self.sort == "label" else int
        return read_sorted_cursor(text, self.sort, self.order, of=of)


def read_order(sort: str, order: str | None) -> Order:
    """Parse an order of the list.

    Raises:
        InvalidInput: for ``sort`` or ``order``.
    """
    if sort not in SORTS:
        raise InvalidInput([("sort", f"Must be one of {', '.join(SORTS)}.")])
    if order not in (None, *ORDERS):
        raise InvalidInput([("order", "Must be asc or desc.")])
    return Order(sort, order or ("desc" if sort == "created_at" else "asc"))


def page(
    wanted: Selection, order: Order, after: Cursor | SortedCursor | None, limit: int
) -> tuple[list[str], str | None]:
    """The ids of the page after *after*, and the cursor of the next; None at the end."""
    reading, descending = wanted.reading, order.order == "desc"
    if order.sort == "created_at":
        place = Cursor(after.created_at, after.id) if isinstance(after, SortedCursor) else after
        ids, more = scans.page(reading, wanted.scans, place, limit, oldest=not descending)
        end = read_cursor(more)
        if end is None or order.newest_first:
            return ids, more
        return ids, str(SortedCursor(order.sort, order.order, None, end.number, end.id))
    assert not isinstance(after, Cursor)
    value = _VALUES[order.sort]
    if wanted.few is None:
        runs = _RUNS[order.sort](wanted)
        found = sorted_scans.page(reading, runs, after, limit, descending=descending)
    else:
        rows = select(value.label("value"), _token.created_at, _token.id).select_from(_with_use)
        found = sorted_scans.page_of_few(
            reading, wanted.few, rows, after, limit, descending=descending
        )
    shown, cursor = found[:limit], None
    if len(found) > limit:
        last = shown[-1]
        cursor = str(SortedCursor(order.sort, order.order, last.value, last.created_at, last.id))
    return [row.id for row in shown], cursor


def _by_label(wanted: Selection) -> _Runs:
    return _along(wanted, _token.label_folded, []), []


def _by_expiry(wanted: Selection) -> _Runs:
    expires_at, before = _token.expires_at, wanted.expires_before
    if before is not None:
        return _along(wanted, expires_at, [expires_at < before]), []
    never = _along(wanted, expires_at, [expires_at.is_(None)], without=True)
    return _along(wanted, expires_at, [expires_at.is_not(None)]), never


def _along(
    wanted: Selection,
    value: ColumnElement[Any],
    range: Sequence[ColumnElement[bool]],
    *,
    without: bool = False,
) -> list[SortedScan]:
    """Scans of an index of the tokens themselves, one for each status."""
    ordered, few = wanted.statuses
    ours, which = [_token.company_id == wanted.company], [*wanted.of_kind, *wanted.selected_but()]
    found = [SortedScan(access_tokens, value, [*ours, *range, *each], which) for each in ordered]
    which = [*wanted.apart, *which]
    found += [SortedScan(access_tokens, value, [*range, *each], which, few=True) for each in few]
    return [replace(scan, without=without) for scan in found]


def _by_use(wanted: Selection) -> _Runs:
    ever, never = (replace(wanted, used=wanted.used or used) for used in ("ever", "never"))
    return (
        [] if wanted.used == "never" else _along_use(ever, without=False),
        [] if wanted.used == "ever" else _along_use(never, without=True),
    )


def _along_use(wanted: Selection, *, without: bool) -> list[SortedScan]:
    _, few = wanted.statuses
    table = access_token_recency
    which = [*wanted.of_status_and_kind, *wanted.selected_but("use")]
    found = [
        SortedScan(table, _recency.last_at, range, which, access_tokens) for range in wanted.uses
    ]
    which = [*wanted.apart, *which, *wanted.last_used_range]
    found += [
        SortedScan(access_tokens, _last_at, each, which, few=True, source=_with_use) for each in few
    ]
    return [replace(scan, without=without) for scan in found]


_RUNS = {"label": _by_label, "expires_at": _by_expiry, "last_used": _by_use}
