"""Expire In: presets, or an exact date and time in the viewer's own time zone, or never."""

from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.web.pages.text.local_times import instant
from gatepass.web.pages.text.times import DAY, HOUR, MINUTE

NEVER = "never"
AT = "at"
#: Value, name and length in milliseconds of the presets, in the order shown.
PRESETS: tuple[tuple[str, str, int], ...] = (
    ("1h", "1 hour", HOUR),
    ("1d", "1 day", DAY),
    ("7d", "7 days", 7 * DAY),
    ("30d", "30 days", 30 * DAY),
    ("90d", "90 days", 90 * DAY),
    ("1y", "1 year", 365 * DAY),
)
CHOICES = (*((value, name) for value, name, _ in PRESETS), (NEVER, "Never"), (AT, "Exact date"))

_LENGTHS = {value: length for value, _, length in PRESETS}


def choices(now: int, latest: int | None, chosen: str) -> tuple[tuple[str, str], ...]:
    """Those of ``CHOICES`` that end by *latest* (Unix ms; None is no limit), and the *chosen* one.

    Args:
        now: Unix ms, from which presets count.
    """
    if latest is None:
        return CHOICES
    allowed = {value for value, length in _LENGTHS.items() if now + length <= latest}
    return tuple(choice for choice in CHOICES if choice[0] in (*allowed, AT, chosen))


def longest(days: int) -> str:
    """The longest preset of at most *days* days."""
    return [value for value, length in _LENGTHS.items() if length <= days * DAY][-1]


def read_expiry(choice: str, date_and_time: str, offset: str, now: int) -> int | None:
    """The chosen expiry as Unix milliseconds; None for never.

    Args:
        choice: a preset's value, ``never``, or ``at`` for *date_and_time*.
        date_and_time: as ``<input type="datetime-local">`` sends it; blank means never.
        offset: minutes east of UTC at that date, filled in by a script; blank means UTC.
        now: Unix milliseconds.

    Raises:
        ValueError: with a message for the user.
    """
    if choice in _LENGTHS:
        return now + _LENGTHS[choice]
    if choice == NEVER or (choice == AT and not date_and_time):
        return None
    if choice != AT:
        raise ValueError("Must be one of these.")
    at = instant(date_and_time, offset)
    if at <= now:
        raise ValueError("Must be in the future.")
    if at > LATEST_EXPIRY:
        # West of Greenwich, the year 9999 ends after the latest time that can be shown.
        raise ValueError("Must be before the end of the year 9999.")
    return at


def preset_of(length: int) -> str | None:
    """The preset of *length* milliseconds, to within the time it takes to fill in a form."""
    return next((value for value, _, known in PRESETS if abs(known - length) < MINUTE), None)
