"""Dates and times typed in the viewer's time zone, whose offset a script sends along."""

import re
from datetime import UTC, datetime

from gatepass.web.pages.text.times import MINUTE

_date_and_time = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,3})?)?"
).fullmatch
_offset = re.compile(r"-?[0-9]{1,4}").fullmatch
_LARGEST_OFFSET = 24 * 60


def instant(date_and_time: str, offset: str) -> int:
    """The typed date and time as Unix milliseconds.

    Args:
        date_and_time: as ``<input type="datetime-local">`` sends it.
        offset: minutes east of UTC at that date, filled in by a script; blank means UTC.

    Raises:
        ValueError: with a message for the user.
    """
    found = _date_and_time(date_and_time)
    try:
        if found is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
        local = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise ValueError("Must be a valid date and time.") from None
    if offset and (_offset(offset) is None or abs(int(offset)) > _LARGEST_OFFSET):
        raise ValueError("Your time zone couldn't be read. Enter the date and time again.")
    return int(local.timestamp() * 1000) - int(offset or 0) * MINUTE


def written(at: int) -> str:
    """An instant as the value of ``<input type="datetime-local">``: UTC, to the minute."""
    return datetime.fromtimestamp(at // MINUTE * 60, UTC).strftime("%Y-%m-%dT%H:%M")
