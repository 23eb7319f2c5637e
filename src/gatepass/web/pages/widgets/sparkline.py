"""A token's allowed calls per day, as the bars of a small SVG.

All lengths are in percent of the drawing, so that it is as wide as its place and a pattern isn't
stretched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gatepass.web.pages.text.times import DAY
from gatepass.web.pages.text.wording import counted

#: Of a bar's place, the rest is the gap.
_BAR = 0.72
_LEAST = 12


@dataclass(frozen=True)
class DayOfUse:
    """The number of allowed calls on one day (days since 1970, UTC)."""

    day: int
    count: int


@dataclass(frozen=True)
class Bar:
    """One bar. ``today``: whether its day isn't over, so that it will grow."""

    x: str
    y: str
    width: str
    height: str
    count: int
    today: bool


@dataclass(frozen=True)
class Sparkline:
    """The drawing, and its text for screen readers."""

    bars: tuple[Bar, ...]
    words: str


def days_until(now: int, counts: Sequence[int]) -> tuple[DayOfUse, ...]:
    """*counts* of consecutive days, the last of which is the day of *now* (Unix ms)."""
    first = now // DAY - len(counts) + 1
    return tuple(DayOfUse(first + at, count) for at, count in enumerate(counts))


def sparkline(days: Sequence[DayOfUse]) -> Sparkline:
    """One bar per day, the last one's for today; the busiest fills the height."""
    most = max((each.count for each in days), default=0)
    bars = tuple(_bar(at, each, most, len(days)) for at, each in enumerate(days))
    total = sum(each.count for each in days)
    words = f"{counted(total, 'call')} in {counted(len(days), 'day')}"
    if total:
        words += f", at most {most:,} a day"
    return Sparkline(bars, words)


def short_date(day: int) -> str:
    """``24 Nov``: a day, in days since 1970."""
    date = datetime.fromtimestamp(day * 86_400, UTC)
    return f"{date.day} {date:%b}"


def percent(share: float) -> str:
    """A share of a hundred as a length of SVG."""
    return f"{round(share, 2):g}%"


def _bar(at: int, use: DayOfUse, most: int, days: int) -> Bar:
    place = 100 / days
    height = _LEAST if not use.count else max(_LEAST, use.count / most * 100)
    return Bar(
        x=percent((at + (1 - _BAR) / 2) * place),
        y=percent(100 - height),
        width=percent(_BAR * place),
        height=percent(height),
        count=use.count,
        today=at == days - 1,
    )
