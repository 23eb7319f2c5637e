"""Strict JSON parsing.

Attackers get around a check by sending text that two programs parse differently. So ambiguous JSON
is refused: duplicate keys, NaN, other encodings than UTF-8. This module imports no framework.
"""

import json
from collections import Counter
from functools import partial
from math import isfinite
from typing import Any, NoReturn

from gatepass.core.errors import GatepassError, InvalidInput

_LONGEST_NAME = 100
_TOO_DEEP = "Must not be nested so deeply."
_DEEPEST_FIELD = 3
_MOST_LOOKED_AT = 1_000


class BrokenJSON(GatepassError):
    """The text is no JSON at all. (InvalidInput is for JSON with the wrong content.)"""

    reason = "bad_request"


def parse(content: bytes, *, most_members: int | None = None) -> Any:
    """Parse a JSON text.

    Args:
        most_members: how many members an object may have.

    Raises:
        BrokenJSON: no JSON, or bytes that aren't UTF-8.
        InvalidInput: too many members, duplicate keys, NaN or Infinity, too deep nesting, too long
            numbers.
    """
    try:
        text = content.decode("utf-8")
        try:
            return json.loads(
                text,
                object_pairs_hook=partial(_object, most_members),
                parse_constant=_no_number,
                parse_float=_finite,
            )
        except (InvalidInput, ValueError):
            # Broken JSON after the first fault takes precedence.
            json.loads(text, parse_int=str)
            raise
    except json.JSONDecodeError as error:
        raise BrokenJSON(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except UnicodeDecodeError as error:
        raise BrokenJSON(f"The body is not UTF-8 at byte {error.start}.") from None
    except RecursionError:
        raise InvalidInput([("body", _TOO_DEEP)]) from None
    except ValueError:
        # Python refuses to read integers of more than 4,300 digits.
        raise InvalidInput([("body", "Numbers must have fewer digits.")]) from None


def refuse_unpaired_surrogates(value: Any) -> None:
    """Refuse unpaired surrogates in any name or string: no database can store one.

    JSON can write one only as an escape (``"\\ud800"``), which Python accepts.

    Raises:
        InvalidInput: for the field that has one.
    """
    try:
        whole = _is_whole(value)
        place = () if whole else _broken_place(value)
    except RecursionError:
        # Nesting that could just be parsed may be too deep to serialize.
        raise InvalidInput([("body", _TOO_DEEP)]) from None
    if not whole:
        raise InvalidInput([(field_name(place), "Must be valid Unicode.")])


def field_name(path: tuple[str | int, ...]) -> str:
    """``permissions.0`` for ("permissions", 0); truncated, because clients choose the names."""
    return ".".join(str(part) for part in path)[:_LONGEST_NAME] or "body"


def _is_whole(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken_place(value: Any) -> tuple[str | int, ...]:
    """The path of an unpaired surrogate, no deeper than any field of ours.

    A full search through a megabyte of lists would be too slow.
    """
    path: tuple[str | int, ...] = ()
    while isinstance(value, dict | list) and len(value) <= _MOST_LOOKED_AT:
        members = value.items() if isinstance(value, dict) else enumerate(value)
        broken = next((member for member in members if not _is_whole(member[1])), None)
        if broken is None or len(path) == _DEEPEST_FIELD:
            break
        path, value = (*path, broken[0]), broken[1]
    return path


def _object(most_members: int | None, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if most_members is not None and len(pairs) > most_members:
        raise InvalidInput([("body", f"An object must have at most {most_members} members.")])
    members = dict(pairs)
    if len(members) != len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidInput([(field_name((twice,)), "Must be given only once.")])
    return members


def _no_number(text: str) -> NoReturn:
    raise InvalidInput([("body", f"Numbers must be ones that JSON has, not {text}.")])


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise InvalidInput([("body", "Numbers must be smaller.")])
    return number
