"""Times for people: relative where they are read, exact where they are pointed at.

The server knows no time zone but UTC and says so; ``times.js`` puts the exact time into the
viewer's own, and keeps the relative ones moving. Both word them alike.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True)
class Moment:
    """One instant, in every wording a page needs.

    Attributes:
        iso: for ``datetime="…"``.
        exact: ``24 Dec 2026, 14:30 UTC``.
        relative: ``in 12 days``, ``2 min ago``, ``just now``.
    """

    iso: str
    exact: str
    relative: str


def moment(at: int, now: int) -> Moment:
    """Word the instant *at* as seen at *now*, both in Unix milliseconds."""
    instant = datetime.fromtimestamp(at / 1000, UTC)
    return Moment(
        iso=instant.isoformat(timespec="seconds").replace("+00:00", "Z"),
        exact=f"{instant.day} {instant:%b %Y, %H:%M} UTC",
        relative=relative(at - now),
    )


def relative(distance: int) -> str:
    """A distance in milliseconds, positive in the future, in the largest unit that fits.

    What is to come is rounded, so that a token made for 30 days says so; what is past is not.
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
