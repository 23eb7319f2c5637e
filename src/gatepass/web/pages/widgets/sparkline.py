"""A token's calls per day, as the bars of a small SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gatepass.web.pages.text.times import DAY
from gatepass.web.pages.text.wording import counted

HEIGHT = 56
_BAR = 10
_GAP = 3
_LEAST = 3


@dataclass(frozen=True)
class DayOfUse:
    """The number of allowed calls on one day (days since 1970, UTC)."""

    day: int
    count: int


@dataclass(frozen=True)
class Bar:
    """One bar: its position, and its text on hover."""

    x: int
    y: int
    width: int
    height: int
    count: int
    words: str


@dataclass(frozen=True)
class Sparkline:
    """The drawing, and its text for screen readers."""

    width: int
    height: int
    bars: tuple[Bar, ...]
    words: str


def days_until(now: int, counts: Sequence[int]) -> tuple[DayOfUse, ...]:
    """*counts* of consecutive days, the last of which is the day of *now* (Unix ms)."""
    first = now // DAY - len(counts) + 1
    return tuple(DayOfUse(first + at, count) for at, count in enumerate(counts))


def sparkline(days: Sequence[DayOfUse]) -> Sparkline:
    """One bar per day; the busiest fills the height, and a day without calls is a thin line."""
    most = max((each.count for each in days), default=0)
    bars = tuple(_bar(index, each, most) for index, each in enumerate(days))
    total = sum(each.count for each in days)
    words = f"{counted(total, 'call')} in {counted(len(days), 'day')}"
    if total:
        words += f", at most {most:,} a day"
    return Sparkline(max(1, len(days) * (_BAR + _GAP) - _GAP), HEIGHT, bars, words)


def _bar(index: int, use: DayOfUse, most: int) -> Bar:
    height = _LEAST if not use.count else max(_LEAST, round(use.count / most * HEIGHT))
    date = datetime.fromtimestamp(use.day * 86_400, UTC)
    return Bar(
        x=index * (_BAR + _GAP),
        y=HEIGHT - height,
        width=_BAR,
        height=height,
        count=use.count,
        words=f"{date.day} {date:%b}: {counted(use.count, 'call')}",
    )
