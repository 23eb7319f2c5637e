"""Times in words: relative in the text, exact on hover.

The server writes UTC; ``times.js`` converts exact times to the viewer's time zone and updates
relative ones, in the same words.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True)
class WordedTime:
    """One instant in each form that a page shows.

    Attributes:
        iso: for ``datetime="…"``.
        exact: ``24 Dec 2026, 14:30 UTC``.
        relative: ``in 12 days``, ``2 min ago``, ``just now``.
        clock: ``14:30``, for a list that names the day.
        day: ``Thursday, 24 December 2026``; ``Today, …`` and ``Yesterday, …``.
    """

    iso: str
    exact: str
    relative: str
    clock: str
    day: str


def worded_time(at: int, now: int) -> WordedTime:
    """The instant *at* in words, relative to *now*; both Unix milliseconds."""
    instant = datetime.fromtimestamp(at / 1000, UTC)
    return WordedTime(
        iso=instant.isoformat(timespec="seconds").replace("+00:00", "Z"),
        exact=f"{instant.day} {instant:%b %Y, %H:%M} UTC",
        relative=relative(at - now),
        clock=f"{instant:%H:%M}",
        day=f"{_day_name(at, now)}, {instant.day} {instant:%B %Y}",
    )


def _day_name(at: int, now: int) -> str:
    days_ago = now // DAY - at // DAY
    weekday = f"{datetime.fromtimestamp(at / 1000, UTC):%A}"
    return {0: "Today", 1: "Yesterday"}.get(days_ago, weekday)


def relative(distance: int) -> str:
    """A distance in milliseconds, positive in the future, in the largest unit that fits.

    Future distances are rounded, so that a token created for 30 days says "in 30 days"; past ones
    are cut off.
    """
    length = abs(distance)
    if length < MINUTE:
        return "in a moment" if distance > 0 else "just now"
    return f"in {_amount(length, 0.5)}" if distance > 0 else f"{_amount(length, 0)} ago"


def _amount(length: int, up: float) -> str:
    minutes, hours, days = (int(length / unit + up) for unit in (MINUTE, HOUR, DAY))
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h"
    if days < 60:
        return "1 day" if days == 1 else f"{days} days"
    if days < 730:
        return f"{days * 12 // 365} months"
    return f"{days // 365} years"
