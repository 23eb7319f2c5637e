"""Metadata: keys and values that other programs attach to a record."""

import re
from collections.abc import Mapping

from gatepass.registry.input.text import Problems, bidi_problem, storable

MOST_KEYS = 20
#: Of all keys and values together, in UTF-8.
MOST_BYTES = 1_024

#: The pattern of a key.
KEY = "[a-z0-9_.-]{1,40}"

is_key = re.compile(KEY, re.ASCII).fullmatch


def read_metadata(value: object, problems: Problems, field: str = "metadata") -> dict[str, str]:
    """Parse *value* into texts by key, sorted; errors are added to *problems*.

    An error of one value is at the path of its key, such as ``metadata.team``.
    """
    if not isinstance(value, dict):
        problems.add(field, "Must be an object.")
        return {}
    if len(value) > MOST_KEYS:
        problems.add(field, f"Must have at most {MOST_KEYS} keys.")
        return {}
    found: dict[str, str] = {}
    for key, text in value.items():
        if not isinstance(key, str) or not is_key(key):
            problems.add(field, "Must have keys of 1 to 40 characters of a-z, 0-9, _, . and -.")
            return {}
        problem = value_problem(text)
        if problem is None:
            found[key] = text
        else:
            problems.add(f"{field}.{key}", problem)
    if sum(len(text.encode()) for pair in found.items() for text in pair) > MOST_BYTES:
        problems.add(field, f"Must have at most {MOST_BYTES:,} bytes in all.")
    return dict(sorted(found.items()))


def entries(metadata: Mapping[str, str]) -> list[str]:
    """Each key with its value, as ``key:value``."""
    return [f"{key}:{value}" for key, value in metadata.items()]


def value_problem(value: object) -> str | None:
    """The error of a value, as a sentence; None if it is valid."""
    if not isinstance(value, str):
        return "Must be text."
    if not storable(value):
        return "Must not have control characters or line separators."
    return bidi_problem(value)
