"""A token's calls as a chart: a column for each day or hour, refused calls on top of allowed ones.

Lengths are in percent of the plot, as in ``sparkline``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gatepass.web.pages.text.times import DAY, HOUR
from gatepass.web.pages.text.wording import counted
from gatepass.web.pages.widgets.sparkline import percent, short_date

#: What a column stands for, in UTC.
Unit = Literal["hour", "day"]
UNIT_MS: dict[Unit, int] = {"hour": HOUR, "day": DAY}

_COLUMN = 0.72
_WIDEST = 4.5
#: A single call among thousands can be seen.
_LEAST = 2.0
_LABELS = 4
#: Hours between two labels.
_HOURS = 6
#: A label nearer to an end of the plot begins or ends there. In percent.
_EDGE = 8
_NICE = (1, 2, 4, 6, 8, 10)
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
#: From here on the axis has units in place of zeros.
_SHORTENED = 10_000


@dataclass(frozen=True)
class Part:
    """One part of a column."""

    y: str
    height: str


@dataclass(frozen=True)
class Column:
    """A day or hour: its place in the plot, its parts, and its numbers.

    Attributes:
        left, place: where the pointer finds it, and how wide that is.
        x, width: of the parts.
        allowed, refused: None if there were no such calls.
        date: ``24 Nov`` or ``24 Nov, 14:00``; ``Today`` or ``This hour``.
        counts: of allowed and of refused calls.
        words: its text on hover.
    """

    left: str
    place: str
    x: str
    width: str
    allowed: Part | None
    refused: Part | None
    date: str
    counts: tuple[int, int]
    words: str


@dataclass(frozen=True)
class Label:
    """A date or time below the plot; ``anchor`` as in SVG."""

    x: str
    anchor: str
    text: str


@dataclass(frozen=True)
class UseChart:
    """The chart.

    Attributes:
        unit: what a column stands for.
        allowed, refused: how many calls there were in all.
        ticks: the values at the top, in the middle and at the bottom of the plot.
        words: its text for screen readers.
    """

    unit: Unit
    allowed: int
    refused: int
    columns: tuple[Column, ...]
    ticks: tuple[str, ...]
    labels: tuple[Label, ...]
    words: str


def use_chart(
    now: int, allowed: Sequence[int], refused: Sequence[int], *, unit: Unit = "day"
) -> UseChart:
    """The chart of counts of consecutive days or hours (UTC), the last of which has begun.

    Args:
        now: Unix ms.
        allowed, refused: as many of each.
    """
    number, last = len(allowed), now // UNIT_MS[unit]
    first = last - number + 1
    both = list(zip(allowed, refused, strict=True))
    top = _nice(max((sum(each) for each in both), default=0))
    columns = tuple(
        _column(at, number, *_dates(first + at, unit, first + at == last), each, top)
        for at, each in enumerate(both)
    )
    total, denied = sum(allowed), sum(refused)
    words = f"{counted(total, 'allowed call')} and {counted(denied, 'refused call')}"
    return UseChart(
        unit=unit,
        allowed=total,
        refused=denied,
        columns=columns,
        ticks=tuple(_short(value) for value in ((top, top // 2, 0) if top > 1 else (top, 0))),
        labels=_hour_labels(first, number) if unit == "hour" else _day_labels(columns),
        words=f"{words} in {counted(number, unit)}, by {unit}",
    )


def _dates(at: int, unit: Unit, present: bool) -> tuple[str, str]:
    """The date of a column: alone, and in full.

    Args:
        at: its day or hour, since 1970.
    """
    if unit == "day":
        date = "Today" if present else short_date(at)
        return date, date
    date = f"{short_date(at // 24)}, {_clock(at)}"
    return "This hour" if present else date, f"{date}–{_clock(at + 1)} UTC"


def _clock(hour: int) -> str:
    return f"{hour % 24:02}:00"


def _column(
    at: int, number: int, date: str, full_date: str, counts: tuple[int, int], top: int
) -> Column:
    place = 100 / number
    width = min(place * _COLUMN, _WIDEST)
    allowed, refused = counts
    # Rounded up to what can be seen, the parts together may be higher than the plot.
    below = min(_height(allowed, top), 100 - _LEAST if refused else 100)
    above = min(_height(refused, top), 100 - below)
    return Column(
        left=percent(at * place),
        place=percent(place),
        x=percent(at * place + (place - width) / 2),
        width=percent(width),
        allowed=Part(percent(100 - below), percent(below)) if allowed else None,
        refused=Part(percent(100 - below - above), percent(above)) if refused else None,
        date=date,
        counts=counts,
        words=f"{full_date}: {allowed:,} allowed, {refused:,} refused",
    )


def _height(number: int, top: int) -> float:
    return max(_LEAST, number / top * 100) if number else 0


def _day_labels(columns: Sequence[Column]) -> tuple[Label, ...]:
    """Some dates, evenly apart; the outer ones keep within the plot."""
    last = len(columns) - 1
    shown = sorted({round(at * last / (_LABELS - 1)) for at in range(_LABELS)})
    place = 100 / len(columns)
    labels = []
    for at in shown:
        x, anchor = percent((at + 0.5) * place), "middle"
        if at == 0:
            x, anchor = "0%", "start"
        elif at == last:
            x, anchor = "100%", "end"
        labels.append(Label(x, anchor, columns[at].date))
    return tuple(labels)


def _hour_labels(first: int, number: int) -> tuple[Label, ...]:
    """Every sixth hour of a day, the first of which is the date; they keep within the plot."""
    place = 100 / number
    labels = []
    for at in range(-first % _HOURS, number, _HOURS):
        hour = first + at
        x, anchor = (at + 0.5) * place, "middle"
        if x < _EDGE:
            x, anchor = at * place, "start"
        elif x > 100 - _EDGE:
            x, anchor = 100, "end"
        text = _clock(hour) if hour % 24 else short_date(hour // 24)
        labels.append(Label(percent(x), anchor, text))
    return tuple(labels)


def _nice(most: int) -> int:
    """The least round number that isn't smaller, whose half is a whole number, too (but for 1)."""
    unit = 1
    while most > _NICE[-1] * unit:
        unit *= 10
    return next(digit * unit for digit in _NICE if digit * unit >= most)


def _short(value: int) -> str:
    for unit, letter in _UNITS if value >= _SHORTENED else ():
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:,}"
