"""A request's JSON body as a model: no unknown fields, no wrong type turned into the right one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from gatepass.core.errors import InvalidInput
from gatepass.web.cookies import is_json
from gatepass.web.strict_json import field_name, parse, refuse_half_characters

# What `curl -d` and urllib declare when nobody told them anything. No danger: the cookie counts
# only where JSON is declared, so a form on another site can't act for anyone.
_UNDECLARED = (None, "application/x-www-form-urlencoded")
# A megabyte made of small things takes a fifth of a second to read; others needn't wait for it.
_QUICKLY_READ = 16_384
# A megabyte of JSON may become a hundred of objects. Threads don't read it any faster.
_slowly_read = CapacityLimiter(2)
#: No object of ours has nearly as many members.
_MOST_MEMBERS = 100
#: Lists are validated in parts, so that one with an error in every item is soon refused.
_PART = 50


class Fields(BaseModel):
    """The root of every body.

    The models settle names and types; what a value may be, the registry decides for pages and API
    alike.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NoFields(Fields):
    """The body of an action that takes none: absent, or an empty object."""


def body(model: type[Fields]) -> Any:
    """A parameter that is the request's body as *model*; put it last, after who is calling.

    Raises:
        BrokenJSON: broken JSON, or bytes that aren't UTF-8.
        InvalidInput: anything else that is wrong with it.
    """

    async def read(request: Request) -> Fields:
        content = await request.body()
        if not content and model is NoFields:
            return NoFields()
        if not is_json(request) and request.headers.get("content-type") not in _UNDECLARED:
            raise HTTPException(415)
        if len(content) <= _QUICKLY_READ:
            return _read(model, content)
        return await to_thread.run_sync(_read, model, content, limiter=_slowly_read)

    return Depends(read)


def _read(model: type[Fields], content: bytes) -> Fields:
    value = parse(content, most_members=_MOST_MEMBERS)
    refuse_half_characters(value)
    return validated(model, value)


def takes(model: type[Fields]) -> dict[str, Any]:
    """What the OpenAPI document says of such a body (a route's ``openapi_extra``)."""
    schema = model.model_json_schema()
    schema = _inlined(schema, schema.pop("$defs", {}))
    return {
        "requestBody": {
            "required": model is not NoFields,
            "content": {"application/json": {"schema": schema}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The models within a model in their places: there is no ``$defs`` to refer to from a route."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name in definitions:
        return _inlined(definitions[name], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def validated(model: type[Fields], value: Any) -> Fields:
    """*value* as *model*.

    Raises:
        InvalidInput: with the fields that are wrong, the first ones if they are many.
    """
    for name, first, part in _parts(value):
        try:
            model.model_validate(part)
        except ValidationError as error:
            raise InvalidInput(field_errors(_moved(error, name, first))) from None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(field_errors(_details(error))) from None


def _parts(value: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """*value* with one part of a long list in the list's place: the list's name, where the part
    begins, and the value."""
    if not isinstance(value, dict):
        return
    for name, items in value.items():
        if isinstance(items, list) and len(items) > _PART:
            for first in range(0, len(items), _PART):
                yield name, first, {**value, name: items[first : first + _PART]}


def _moved(error: ValidationError, name: str, first: int) -> Iterator[Any]:
    """The findings in a part of a list, as those of the whole."""
    for found in _details(error):
        place = found["loc"]
        if len(place) > 1 and place[0] == name and isinstance(place[1], int):
            place = (name, first + place[1], *place[2:])
        yield {**found, "loc": place}


def _details(error: ValidationError) -> Sequence[Any]:
    return error.errors(include_url=False)


def field_errors(errors: Iterable[Any]) -> list[tuple[str, str]]:
    """Pydantic's findings as (field, message) pairs, in words for people."""
    return [(field_name(error["loc"]), _message(error)) for error in errors]


_MESSAGES = {
    "missing": "Must be given.",
    "extra_forbidden": "Must be left out: there is no such field.",
    "string_type": "Must be a string.",
    "bool_type": "Must be true or false.",
    "int_type": "Must be a whole number.",
    "list_type": "Must be a list.",
    "model_type": "Must be an object.",
}


def _message(error: Any) -> str:
    if error["type"] == "literal_error":
        return f"Must be {error['ctx']['expected']}."
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "too_long" and isinstance(error["input"], str):
        return f"Must have at most {error['ctx']['max_length']} characters."
    known = _MESSAGES.get(error["type"])
    return known if known is not None else error["msg"] + "."
