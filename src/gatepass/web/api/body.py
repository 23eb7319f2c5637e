"""A request's JSON body, read more strictly than JSON libraries do by themselves.

Two programs that read one text differently are how checks are got around, so whatever has more than
one reading is refused: duplicate keys, NaN, other encodings, fields that aren't known.
"""

import json
from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any, NoReturn

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from gatepass.core.errors import InvalidInput
from gatepass.web.cookies import is_json
from gatepass.web.problems import Unreadable


class Fields(BaseModel):
    """The root of every body: no unknown fields, no wrong type turned into the right one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NoFields(Fields):
    """The body of an action that takes none: absent, or an empty object."""


def body(model: type[Fields]) -> Any:
    """A parameter that is the request's body as *model*; put it last, after who is calling.

    Raises:
        Unreadable: broken JSON, or bytes that aren't UTF-8.
        InvalidInput: anything else that is wrong with it.
    """

    async def read(request: Request) -> Fields:
        content = await request.body()
        if not content and model is NoFields:
            return NoFields()
        if not is_json(request) and "content-type" in request.headers:
            raise HTTPException(415)
        return validated(model, parse(content))

    read.model = model  # type: ignore[attr-defined]  # where the OpenAPI document finds it
    return Depends(read)


def parse(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        Unreadable, InvalidInput: as for :func:`body`.
    """
    try:
        text = content.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite
        )
        # Half a surrogate pair can only be written as an escape.
        if "\\ud" in text or "\\uD" in text:
            _refuse_half_characters(value)
        return value
    except json.JSONDecodeError as error:
        raise Unreadable(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"The body is not UTF-8 at byte {error.start}.") from None
    except RecursionError:
        raise InvalidInput([("body", "is nested too deeply")]) from None
    except ValueError:
        # Python refuses to read integers of more than 4,300 digits.
        raise InvalidInput([("body", "has a number with too many digits")]) from None


def validated(model: type[Fields], value: Any) -> Fields:
    """*value* as *model*.

    Raises:
        InvalidInput: with every field that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(field_errors(error.errors(include_url=False))) from None


def field_errors(errors: Sequence[Any]) -> list[tuple[str, str]]:
    """Pydantic's findings as (field, message) pairs, in words for people."""
    return [(field_name(error["loc"]), _message(error)) for error in errors]


def field_name(location: Sequence[str | int]) -> str:
    """``permissions.0`` for ("permissions", 0). Cut short: it repeats what was sent."""
    return ".".join(str(part) for part in location)[:100] or "body"


_MESSAGES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be a string",
    "string_unicode": "is not valid Unicode",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def _message(error: Any) -> str:
    if error["type"] == "literal_error":
        return f"must be {error['ctx']['expected']}"
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    known = _MESSAGES.get(error["type"])
    return known if known is not None else error["msg"][:1].lower() + error["msg"][1:]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = Counter(name for name, _ in pairs)
        raise InvalidInput([(names.most_common(1)[0][0][:100], "is there more than once")])
    return members


def _refuse_half_characters(value: Any) -> None:
    """Refuse a lone surrogate in any name or string: no database or header could hold it."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, inner = waiting.pop()
        if isinstance(inner, str):
            try:
                inner.encode()
            except UnicodeEncodeError:
                raise InvalidInput([(field_name(path), "is not valid Unicode")]) from None
        elif isinstance(inner, list):
            waiting += [((*path, index), item) for index, item in enumerate(inner)]
        elif isinstance(inner, dict):
            waiting += [(path, name) for name in inner]
            waiting += [((*path, name), item) for name, item in inner.items()]


def _no_number(text: str) -> NoReturn:
    raise InvalidInput([("body", f"{text} is not a number that JSON has")])


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise InvalidInput([("body", "has a number that is too large")])
    return number
