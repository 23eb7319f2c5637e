"""What the resources have in common: times, people, lists, ids, entity tags, problems."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Path, Query
from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from gatepass.registry.input.text import storable
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.paging import LARGEST_PAGE
from gatepass.web.times import format_time, parse_time

T = TypeVar("T")


class Record(BaseModel):
    """The root of what is sent: reads the registry's records by attribute, and sends only what it
    names."""

    model_config = ConfigDict(from_attributes=True)

    def entity_tag(self) -> str:
        """A strong ETag of the record as it is sent."""
        return etag_of(self.model_dump_json())


class Listed(BaseModel, Generic[T]):
    """A page of a list, newest first. Hand ``next`` in as ``cursor`` for what follows."""

    items: list[T]
    next: str | None


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(examples=["permissions.0"])
    message: str


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    reason: str = Field(
        description="The stable word that programs go by.", examples=["permission_missing"]
    )
    errors: list[FieldError] = Field(default=[], description="For 422.")
    current: dict[str, Any] = Field(
        default={},
        description="The record as it is, for 409 `changed_meanwhile`, 503 `not_confirmed`.",
    )


def _taken_time(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("Must be a string.")
    return parse_time(value)


_TIME = {"type": "string", "format": "date-time", "examples": ["2026-12-24T00:00:00.000Z"]}
#: A time that is sent: milliseconds inside, RFC 3339 in UTC outside.
Time = Annotated[int, PlainSerializer(format_time, return_type=str), WithJsonSchema(_TIME)]
#: A time that is taken: RFC 3339 with any offset.
TakenTime = Annotated[int, BeforeValidator(_taken_time), WithJsonSchema(_TIME)]


def person_id(of: str) -> Any:
    """The id of the person that the registry's record has under *of*; null for the command line
    and the system, and where there is nobody."""
    return Field(default=None, validation_alias=AliasPath(of, "id"))


def person_name(of: str) -> Any:
    """The name of that person."""
    return Field(default=None, validation_alias=AliasPath(of, "name"))


def _plain(value: str) -> str:
    if not storable(value):
        raise ValueError("Must not have control characters or line separators.")
    return value


def _whole_number(value: Any) -> Any:
    # Pydantic would take " 5", "5.0" and "1_0" too.
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError(f"Must be a whole number from 1 to {LARGEST_PAGE}.")
    return value


#: An id in a path. What can't be one is 404 like any that isn't there, and reaches no database.
RecordId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$")]
Limit = Annotated[int, BeforeValidator(_whole_number), Query(ge=1, le=LARGEST_PAGE)]
PageCursor = Annotated[str | None, Query(description="The `next` of the page before.")]
#: A text to search or filter by.
Term = Annotated[str, BeforeValidator(_plain), Query(max_length=200)]
Status = Literal["active", "expired", "deactivated"]


def wanted_tags(if_match: Sequence[str] | None) -> list[str] | None:
    """The entity tags of If-Match (RFC 9110, 13.1.1); None if any record will do.

    Weak tags never match, and what can't be read doesn't either: an empty list is a condition that
    isn't true.
    """
    if if_match is None or ", ".join(if_match).strip() == "*":
        return None
    found: list[tuple[str, str]] = re.findall(r'(W/)?("[^"]*")', ", ".join(if_match))
    return [tag for weak, tag in found if not weak]
