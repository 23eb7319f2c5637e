"""Strict JSON request bodies: no unknown fields, no type coercion."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, ClassVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, ValidationError

from gatepass.core.errors import InvalidInput
from gatepass.web.cookies import is_json
from gatepass.web.strict_json import field_name, parse, refuse_unpaired_surrogates

#: Of all paths of the API.
PREFIX = "/v1"

# Default content types of `curl -d` and urllib. Accepting them is safe: the cookie counts only with
# a JSON content type, so another site's form can't act for a user.
_UNDECLARED = (None, "application/x-www-form-urlencoded")
# Parsing a megabyte of small values takes a fifth of a second, so a thread does it.
_PARSED_INLINE_BYTES = 16_384
# A megabyte of JSON may become a hundred of objects. More threads wouldn't parse faster.
_parsing_threads = CapacityLimiter(2)
#: More members than any object of ours has.
_MOST_MEMBERS = 100
#: Lists are validated in parts, so that one with an error in every item is refused early.
_PART = 50


class Fields(BaseModel):
    """Base class of request bodies.

    The models define names and types; the registry validates values, for pages and API alike.

    Attributes:
        may_be_absent: whether no body at all is an empty object.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    may_be_absent: ClassVar[bool] = False

    def named(self) -> dict[str, Any]:
        """The fields that the body has, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class NoFields(Fields):
    """The body of an action without fields: absent, or an empty object."""

    may_be_absent: ClassVar[bool] = True


class _Body:
    """Reads the request's body as *model*."""

    def __init__(self, model: type[Fields]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> Fields:
        content = await request.body()
        if not content and self.model.may_be_absent:
            return self.model()
        if not is_json(request) and request.headers.get("content-type") not in _UNDECLARED:
            raise HTTPException(415)
        if len(content) <= _PARSED_INLINE_BYTES:
            return _read(self.model, content)
        return await to_thread.run_sync(_read, self.model, content, limiter=_parsing_threads)


def body(model: type[Fields]) -> Any:
    """The dependency for a parameter that is the request's body as *model*.

    The parameter must be the last, so that the caller is authenticated before the body is read.

    Raises:
        BrokenJSON: no JSON, or bytes that aren't UTF-8.
        InvalidInput: any other fault.
    """
    return Depends(_Body(model))


#: The last parameter of an action without fields.
NoBody = Annotated[NoFields, body(NoFields)]


def resource(tag: str) -> APIRouter:
    """The router of a resource, listed under *tag* in the OpenAPI document."""
    return APIRouter(prefix=PREFIX, tags=[tag], generate_unique_id_function=operation_id)


def operation_id(route: APIRoute) -> str:
    """The OpenAPI operation id, such as ``access_tokens_create``."""
    module = route.endpoint.__module__.rpartition(".")[2]
    return f"{module}_{route.name.strip('_')}"


def body_model(route: APIRoute) -> type[Fields] | None:
    """The model of the body that *route* takes; None if it takes none."""
    taken = (each.call for each in route.dependant.dependencies)
    return next((each.model for each in taken if isinstance(each, _Body)), None)


def refusing(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route with more refusals than those that follow from its parameters.

    Those are listed in ``web.openapi``, which completes these.
    """
    return {status: {} for status in statuses}


def _read(model: type[Fields], content: bytes) -> Fields:
    value = parse(content, most_members=_MOST_MEMBERS)
    refuse_unpaired_surrogates(value)
    return validated(model, value)


def validated(model: type[Fields], value: Any) -> Fields:
    """Validate *value* as *model*.

    Raises:
        InvalidInput: with the fields that aren't valid, the first ones if they are many.
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
    """Split each long list of *value*: the list's name, where the part starts, and *value* with
    that part as the list."""
    if not isinstance(value, dict):
        return
    for name, items in value.items():
        if isinstance(items, list) and len(items) > _PART:
            for first in range(0, len(items), _PART):
                yield name, first, {**value, name: items[first : first + _PART]}


def _moved(error: ValidationError, name: str, first: int) -> Iterator[Any]:
    """Errors in a part of a list, with indexes into the whole list."""
    for found in _details(error):
        place = found["loc"]
        if len(place) > 1 and place[0] == name and isinstance(place[1], int):
            place = (name, first + place[1], *place[2:])
        yield {**found, "loc": place}


def _details(error: ValidationError) -> Sequence[Any]:
    return error.errors(include_url=False)


def field_errors(errors: Iterable[Any]) -> list[tuple[str, str]]:
    """Pydantic's errors as (field, message) pairs with messages of ours."""
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
    if error["type"] == "string_too_long":
        return f"Must have at most {error['ctx']['max_length']} characters."
    known = _MESSAGES.get(error["type"])
    return known if known is not None else error["msg"] + "."
