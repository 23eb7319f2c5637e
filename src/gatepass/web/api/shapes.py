"""Types that the resources share: times, people, lists, ids, ETags, problem documents."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Generic, Literal, TypedDict, TypeVar

from fastapi import Depends, Header, Path, Query, Response
from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from gatepass.core.errors import Conflict
from gatepass.registry.authentication.passwords import LONGEST_BYTES
from gatepass.registry.input.emails import LONGEST_EMAIL
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID, LONGEST_EXTERNAL_ID
from gatepass.registry.input.permissions import MOST_PERMISSIONS
from gatepass.registry.input.text import storable
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.paging import LARGEST_PAGE, LONGEST_CURSOR, Page
from gatepass.web.encoded_slashes import with_slashes
from gatepass.web.times import format_time, parse_time

T = TypeVar("T")
R = TypeVar("R", bound="Record")

Versions = Callable[[Any], str]


class Record(BaseModel):
    """Base class of answers: made from the attributes of a registry record."""

    # An answer always has all of its fields.
    model_config = ConfigDict(
        from_attributes=True, json_schema_serialization_defaults_required=True
    )
    #: The version of a registry record, which If-Match is compared with. None where no change takes
    #: If-Match: the ETag is then made from the answer.
    etag: ClassVar[Versions | None] = None


class OwnerOfToken(Record):
    """The owner of a token."""

    type: Literal["user", "service_account", "external"]
    id: str = Field(examples=["usr_4fT0aB3cD5eF7gH9"])
    external_id: str | None = Field(
        description="The id it has in another product.", examples=[None]
    )
    name: str = Field(examples=["Ada Lovelace"])


def sent(model: type[R], record: object, response: Response) -> R:
    """*record* as the API sends it, with its ETag in *response*."""
    answer = model.model_validate(record)
    etag = etag_of(answer.model_dump(mode="json")) if model.etag is None else model.etag(record)
    response.headers["ETag"] = etag
    return answer


@contextmanager
def current_as(model: type[Record]) -> Iterator[None]:
    """Turn the current record of a Conflict into *model*'s JSON."""
    try:
        yield
    except Conflict as conflict:
        if conflict.current is not None:
            conflict.current = model.model_validate(conflict.current).model_dump(mode="json")
        raise


class Listed(BaseModel, Generic[T]):
    """A page of a list, newest first."""

    # Pydantic gives the types of items no docstring.
    model_config = ConfigDict(json_schema_extra={"description": "A page of a list, newest first."})

    items: list[T]
    next: str | None = Field(
        description="The `cursor` of the next page; null on the last one.", examples=[None]
    )

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """The schema's public name, such as ``AccessTokenList``."""
        return f"{params[0].__name__}List"

    @classmethod
    def of(cls, page: Page[Any]) -> "Listed[T]":
        """A page of registry records."""
        return cls.model_validate(page, from_attributes=True)


class FieldError(BaseModel):
    """An error in one field."""

    field: str = Field(examples=["permissions.0"])
    message: str = Field(examples=["Must be a known permission."])


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:gatepass:problem:permission_missing"])
    title: str = Field(examples=["Permission missing"])
    status: int = Field(examples=[403])
    detail: str = Field(
        description="One sentence for a person.",
        examples=["The credential doesn't hold charges:create."],
    )
    reason: str = Field(
        description="Stable, for programs to switch on.", examples=["permission_missing"]
    )
    errors: list[FieldError] = Field(default=[], description="For 422.")
    current: dict[str, Any] = Field(
        default={},
        description="The current record, for 409 `changed_meanwhile` and 503 `not_confirmed`.",
    )


def _taken_time(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("Must be a string.")
    return parse_time(value)


_TIME = {"type": "string", "format": "date-time", "examples": ["2026-12-24T00:00:00.000Z"]}
#: A time in an answer: Unix ms inside, RFC 3339 in UTC outside.
Time = Annotated[int, PlainSerializer(format_time, return_type=str), WithJsonSchema(_TIME)]
#: A time in a request: RFC 3339 with any offset.
TakenTime = Annotated[int, BeforeValidator(_taken_time), WithJsonSchema(_TIME)]


def person_id(of: str) -> Any:
    """The id of the person in the registry record's attribute *of*.

    Null for the command line and the system, and if there is no person.
    """
    return Field(
        default=None,
        validation_alias=AliasPath(of, "id"),
        examples=[None if of == "deactivated_by" else "usr_4fT0aB3cD5eF7gH9"],
    )


def person_name(of: str) -> Any:
    """The name of the person in the registry record's attribute *of*, likewise."""
    return Field(
        default=None,
        validation_alias=AliasPath(of, "name"),
        examples=[None if of == "deactivated_by" else "Ada Lovelace"],
    )


def plain(value: str) -> str:
    """*value*, if it can be stored. Raises ValueError otherwise."""
    if not storable(value):
        raise ValueError("Must not have control characters or line separators.")
    return value


def _whole_number(value: Any) -> Any:
    # Pydantic would accept " 5", "5.0" and "1_0" as well.
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError(f"Must be a whole number from 1 to {LARGEST_PAGE}.")
    return value


#: An id in a path. A malformed one is 404 like an unknown one, without a database query.
RecordId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$", description="The record's id.")]
#: A record in a path by its id, or by its external id (``encoded_slashes``), likewise.
Reference = Annotated[
    str,
    Path(
        pattern=f"^([A-Za-z0-9_-]{{1,64}}|{BY_EXTERNAL_ID}.{{1,{LONGEST_EXTERNAL_ID}}})$",
        description=f"The record's id; or `{BY_EXTERNAL_ID}` and its external id, `/` as `%2F`.",
    ),
    AfterValidator(with_slashes),
]
#: An external id at the end of a path. The registry says what is valid.
ExternalId = Annotated[
    str,
    Path(
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_EXTERNAL_ID},
        description="Compared exactly; `/` as `%2F`.",
    ),
    AfterValidator(with_slashes),
]
# Constraints stand before a validator: behind it, the document would lack them.
Limit = Annotated[
    int,
    Query(ge=1, le=LARGEST_PAGE, description="The size of a page."),
    BeforeValidator(_whole_number),
]
#: A text to search or filter by.
Term = Annotated[str, Query(max_length=200), BeforeValidator(plain)]
Status = Literal["active", "expired", "deactivated"]

# The registry has the last word on these; the document says what can be valid at all.
#: An e-mail address in a request.
EmailAddressText = Annotated[
    str, Field(json_schema_extra={"format": "email", "maxLength": LONGEST_EMAIL})
]
#: A password to sign in or confirm with; a new one must be longer.
PasswordText = Annotated[
    str, Field(json_schema_extra={"format": "password", "maxLength": LONGEST_BYTES})
]
#: A record's id in a request body.
IdText = Annotated[str, Field(json_schema_extra={"maxLength": 64})]

#: Permissions as chosen in a request.
Permissions = Annotated[
    list[str],
    Field(
        json_schema_extra={"minItems": 1, "maxItems": MOST_PERMISSIONS},
        examples=[["access-tokens:get"]],
    ),
]


class PageRequest(TypedDict):
    """The arguments of a list operation that select the page."""

    limit: int | None
    cursor: str | None


async def _page_request(
    limit: Limit | None = None,
    cursor: Annotated[
        str | None,
        Query(
            description="The `next` of the page before.",
            json_schema_extra={"maxLength": LONGEST_CURSOR},
        ),
    ] = None,
) -> PageRequest:
    return {"limit": limit, "cursor": cursor}


#: The query parameters ``limit`` and ``cursor`` of every list.
Paging = Annotated[PageRequest, Depends(_page_request)]


async def _if_match(
    if_match: Annotated[
        list[str] | None,
        Header(
            alias="If-Match",
            description="The `ETag` of the version to change; another one is 409 "
            "`changed_meanwhile` with the current record. Absent: any version.",
        ),
    ] = None,
) -> list[str] | None:
    if if_match is None or ", ".join(if_match).strip() == "*":
        return None
    found: list[tuple[str, str]] = re.findall(r'(W/)?("[^"]*")', ", ".join(if_match))
    return [tag for weak, tag in found if not weak]


#: The ETags of If-Match (RFC 9110, 13.1.1); None if any version will do. Weak or unreadable tags
#: never match: an empty list is a condition that is false.
IfMatch = Annotated[list[str] | None, Depends(_if_match)]
