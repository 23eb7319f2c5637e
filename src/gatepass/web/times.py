"""RFC 3339 times of the API, to and from Unix time in milliseconds."""

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant of RFC 3339
_FIRST = -62_135_596_800_000  # 0001-01-01T00:00:00.000Z
_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))"
)


def parse_time(text: str) -> int:
    """Parse an RFC 3339 time with any offset.

    Digits past the millisecond are truncated, never rounded, so that an expiry never moves later.
    A leap second, for which Unix time has no number, is the millisecond before it, for the same
    reason.

    Args:
        text: such as ``2026-12-24T01:00:00.5+01:00``; an offset is required.

    Returns:
        Unix time in milliseconds.

    Raises:
        ValueError: with an error message for the field.
    """
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError("Must be an RFC 3339 time with an offset, such as 2026-12-24T00:00:00Z.")
    year, month, day, hour, minute, second = (int(found[i]) for i in range(1, 7))
    offset_hours, offset_minutes = int(found[10] or 0), int(found[11] or 0)
    leap = second == 60
    try:
        if offset_hours > 23 or offset_minutes > 59:
            raise ValueError
        local = datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC)
    except ValueError:
        raise ValueError("Must be a date and time that exist.") from None
    offset = (offset_hours * 60 + offset_minutes) * 60_000 * (-1 if found[9] == "-" else 1)
    milliseconds = (local - _EPOCH) // timedelta(milliseconds=1) - offset
    milliseconds += 999 if leap else int((found[7] or "")[:3].ljust(3, "0"))
    if leap and milliseconds % 86_400_000 != 86_399_999:
        raise ValueError("Must be a time that exists: there is no leap second then.")
    if not _FIRST <= milliseconds <= _LAST:
        raise ValueError("The year must be from 1 to 9999.")
    return milliseconds


def format_time(milliseconds: int) -> str:
    """Format a time in UTC with milliseconds, such as ``2026-12-24T00:00:00.000Z``."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
