"""The use of one token, as its page shows it: calls per day or hour, and the distinct ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.calls import hours, observed_calls, usage
from gatepass.registry.tokens.calls.observed_calls import CallRecord
from gatepass.registry.tokens.calls.usage import AddressUse
from gatepass.web.pages.layout.lists import address_of_page
from gatepass.web.pages.text.wording import counted
from gatepass.web.pages.widgets.use_chart import UNIT_MS, Unit, UseChart, use_chart


@dataclass(frozen=True)
class Period:
    """A time whose calls are shown, until now: so many units, a column for each."""

    number: int
    unit: Unit

    @property
    def words(self) -> str:
        """``30 days``."""
        return counted(self.number, self.unit)

    @property
    def short(self) -> str:
        """``24 h``, ``30 days``: for a choice of several."""
        return f"{self.number} h" if self.unit == "hour" else self.words

    @property
    def query(self) -> dict[str, str]:
        """What asks for it in an address."""
        return {f"{self.unit}s": str(self.number)}

    def since(self, now: int) -> int:
        """When its first unit began; both Unix ms."""
        length = UNIT_MS[self.unit]
        return (now // length - self.number + 1) * length


_USUAL = Period(30, "day")
#: Those to choose from.
PERIODS = (Period(hours.HOURS, "hour"), Period(7, "day"), _USUAL, Period(90, "day"))
_CALLS = 50
_LAST_PAGE = 999


@dataclass(frozen=True)
class Shown:
    """What of a token's use is shown, as the page's address has it.

    Attributes:
        path: of the token's page.
        period: one of ``PERIODS``.
        all: whether allowed calls are listed, too, and not only refused ones.
        page: of the list, from 1.
    """

    path: str
    period: Period = _USUAL
    all: bool = False
    page: int = 1

    @classmethod
    def read(cls, path: str, query: Mapping[str, str]) -> "Shown":
        """What an address asks for. An unknown value means the default."""
        asked = (each for each in PERIODS if each.query.items() <= query.items())
        page = query.get("page", "")
        number = int(page) if page.isascii() and page.isdecimal() and len(page) <= 3 else 1
        return cls(path, next(asked, _USUAL), query.get("calls") == "all", max(1, number))

    def over(self, period: Period) -> str:
        """The address of the same for another period."""
        return replace(self, period=period, page=1).address("use")

    def listing(self, *, all: bool, page: int = 1) -> str:
        """The address of a page of the calls: all of them, or only the refused ones."""
        return replace(self, all=all, page=page).address("calls")

    def address(self, part: str) -> str:
        """The page's address, at one of its parts."""
        query = {
            **({} if self.period == _USUAL else self.period.query),
            "calls": "all" if self.all else "",
            "page": "" if self.page == 1 else str(self.page),
        }
        return f"{address_of_page(self.path, query)}#{part}"


@dataclass(frozen=True)
class Use:
    """A token's use.

    Attributes:
        shown: what of it.
        total: how many calls were allowed since it exists.
        chart: of the period shown.
        addresses: the latest ones of allowed calls.
        records: distinct calls last made in it, refused ones first; a page of them. Their counts
            are of whole days.
        more: whether there is another page.
    """

    shown: Shown
    total: int
    chart: UseChart
    addresses: tuple[AddressUse, ...]
    records: list[CallRecord]
    more: bool

    @property
    def newer_url(self) -> str:
        """The address of the page before; "" on the first one."""
        page = self.shown.page
        return self.shown.listing(all=self.shown.all, page=page - 1) if page > 1 else ""

    @property
    def older_url(self) -> str:
        """The address of the next page; "" on the last one."""
        page = self.shown.page
        more = self.more and page < _LAST_PAGE
        return self.shown.listing(all=self.shown.all, page=page + 1) if more else ""


def use_of(reading: Reading, token_id: str, shown: Shown) -> Use:
    """The use of a token."""
    period, now = shown.period, reading.now
    found = observed_calls.over_days(
        reading,
        token_id,
        since=period.since(now),
        last_since=period.since(now),
        outcome=None if shown.all else "refused",
        most=_CALLS + 1,
        skipped=(shown.page - 1) * _CALLS,
    )
    return Use(
        shown=shown,
        total=usage.total(reading, token_id),
        chart=use_chart(now, *_counts(reading, token_id, period), unit=period.unit),
        addresses=tuple(usage.addresses(reading, token_id)),
        records=found[:_CALLS],
        more=len(found) > _CALLS,
    )


def _counts(reading: Reading, token_id: str, period: Period) -> tuple[list[int], list[int]]:
    """The allowed and the refused calls of each unit."""
    if period.unit == "hour":
        found = hours.of_token(reading, token_id)
        return found.allowed, found.refused
    days = period.number
    return (
        usage.daily(reading, [token_id], days=days)[token_id],
        usage.daily_refused(reading, [token_id], days=days)[token_id],
    )
