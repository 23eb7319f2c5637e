"""A request's JSON body as a model: no unknown fields, no wrong type turned into the right one."""

from collections.abc import Sequence
from typing import Any

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from gatepass.core.errors import InvalidInput
from gatepass.web.cookies import is_json
from gatepass.web.strict_json import field_name, parse, refuse_half_characters

# What `curl -d` and urllib declare when nobody told them anything. No danger: the cookie counts
# only where JSON is declared, so a form on another site can't act for anyone.
_UNDECLARED = (None, "application/x-www-form-urlencoded")
# A megabyte made of small things takes a fifth of a second to read; others needn't wait for it.
_QUICKLY_READ = 16_384


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
        return await run_in_threadpool(_read, model, content)

    return Depends(read)


def _read(model: type[Fields], content: bytes) -> Fields:
    value = parse(content)
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
        InvalidInput: with every field that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(field_errors(error.errors(include_url=False))) from None


def field_errors(errors: Sequence[Any]) -> list[tuple[str, str]]:
    """Pydantic's findings as (field, message) pairs, in words for people."""
    return [(field_name(error["loc"]), _message(error)) for error in errors]


_MESSAGES = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field.",
    "string_type": "This must be a string.",
    "bool_type": "This must be true or false.",
    "int_type": "This must be a whole number.",
    "list_type": "This must be a list.",
    "model_type": "This must be an object.",
}


def _message(error: Any) -> str:
    if error["type"] == "literal_error":
        return f"This must be {error['ctx']['expected']}."
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "too_long" and isinstance(error["input"], str):
        return f"At most {error['ctx']['max_length']} characters."
    known = _MESSAGES.get(error["type"])
    return known if known is not None else error["msg"] + "."
