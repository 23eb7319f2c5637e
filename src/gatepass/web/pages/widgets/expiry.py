"""Expire In: presets, or an exact date and time in the viewer's own time zone, or never."""

import re

from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.web.pages.text.forms import whole_number
from gatepass.web.pages.text.local_times import instant, written
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
#: The preset that is recommended in place of never.
RECOMMENDED = "90d"
CHOICES = (*((value, name) for value, name, _ in PRESETS), (NEVER, "Never"), (AT, "Exact date"))

#: Of a link.
MOST_DAYS = 99_999
_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII).fullmatch
_date_and_time = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?Z?", re.ASCII
).fullmatch
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


def read_written(text: str, now: int) -> tuple[str, str]:
    """The choice, and its date and time, that *text* in a link stands for.

    Args:
        text: a number of days; a date, which includes its day; a date and time, in UTC; or the
            value of a choice, such as ``1h`` or ``never``.
        now: Unix ms, from which days count.

    Raises:
        ValueError: with a message for the user.
    """
    if text in _LENGTHS or text == NEVER:
        return text, ""
    days = whole_number(text) or 0
    if days > MOST_DAYS or (text.isascii() and text.isdecimal() and days < 0):
        raise ValueError(f"Must be at most {MOST_DAYS:,} days, or a date, such as 2030-12-31.")
    if days > 0:
        length = days * DAY
        known = preset_of(length)
        return (known, "") if known else (AT, written(min(now + length, LATEST_EXPIRY)))
    if _date(text):
        return AT, f"{text}T23:59"
    if _date_and_time(text):
        return AT, text.removesuffix("Z")
    raise ValueError("Must be days, such as 30, or a date, such as 2030-12-31.")


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
