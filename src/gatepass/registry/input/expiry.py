"""Strict parsing of a credential's expiry."""

from gatepass.registry.input.text import Problems

#: 9999-12-31T23:59:59.999Z, the last moment RFC 3339 can write.
LATEST_EXPIRY = 253_402_300_799_999


def read_expiry(value: object, now: int, problems: Problems) -> int | None:
    """The field ``expires_at``, a time after *now* (Unix ms) or None; errors are added to
    *problems*."""
    if value is None:
        return None
    if type(value) is not int:
        problems.add("expires_at", "Must be a time.")
    elif value <= now:
        problems.add("expires_at", "Must be in the future.")
    elif value > LATEST_EXPIRY:
        problems.add("expires_at", "Must be before the year 10000.")
    else:
        return value
    return None
