"""The use of one token, as its page shows it: calls per day, and the distinct ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.calls import observed_calls, usage
from gatepass.registry.tokens.calls.observed_calls import CallRecord
from gatepass.registry.tokens.calls.usage import AddressUse
from gatepass.web.pages.layout.lists import address_of_page
from gatepass.web.pages.text.times import DAY
from gatepass.web.pages.widgets.use_chart import UseChart, use_chart

#: Numbers of days to choose from. Calls are counted by the day, so there is nothing shorter.
RANGES = (7, 30, 90)
_USUAL = 30
_CALLS = 50
_LAST_PAGE = 999


@dataclass(frozen=True)
class Shown:
    """What of a token's use is shown, as the page's address has it.

    Attributes:
        path: of the token's page.
        days: one of ``RANGES``.
        all: whether allowed calls are listed, too, and not only refused ones.
        page: of the list, from 1.
    """

    path: str
    days: int = _USUAL
    all: bool = False
    page: int = 1

    @classmethod
    def read(cls, path: str, query: Mapping[str, str]) -> "Shown":
        """What an address asks for. An unknown value means the default."""
        days = {str(each): each for each in RANGES}.get(query.get("days", ""), _USUAL)
        page = query.get("page", "")
        number = int(page) if page.isascii() and page.isdecimal() and len(page) <= 3 else 1
        return cls(path, days, query.get("calls") == "all", max(1, number))

    def over(self, days: int) -> str:
        """The address of the same for *days* days."""
        return replace(self, days=days, page=1).address("use")

    def listing(self, *, all: bool, page: int = 1) -> str:
        """The address of a page of the calls: all of them, or only the refused ones."""
        return replace(self, all=all, page=page).address("calls")

    def address(self, part: str) -> str:
        """The page's address, at one of its parts."""
        query = {
            "days": "" if self.days == _USUAL else str(self.days),
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
        chart: of the days shown.
        addresses: the latest ones of allowed calls.
        records: distinct calls of those days, refused ones first; a page of them.
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
    days = shown.days
    found = observed_calls.over_days(
        reading,
        token_id,
        since=reading.now - (days - 1) * DAY,
        outcome=None if shown.all else "refused",
        most=_CALLS + 1,
        skipped=(shown.page - 1) * _CALLS,
    )
    return Use(
        shown=shown,
        total=usage.total(reading, token_id),
        chart=use_chart(
            reading.now,
            usage.daily(reading, [token_id], days=days)[token_id],
            usage.daily_refused(reading, [token_id], days=days)[token_id],
        ),
        addresses=tuple(usage.addresses(reading, token_id)),
        records=found[:_CALLS],
        more=len(found) > _CALLS,
    )
