"""Types that the resources share: times, people, lists, ids, ETags, problem documents."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gatepass.core.errors import Conflict
from gatepass.registry.authentication.passwords import LONGEST_BYTES
from gatepass.registry.input.emails import LONGEST_EMAIL
from gatepass.registry.input.permissions import MOST_PERMISSIONS
from gatepass.registry.input.text import storable
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.paging import Page
from gatepass.web.times import format_time, parse_time

if TYPE_CHECKING:
    # Commands, which send no response, start faster without FastAPI.
    from fastapi import Response

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


class SparseRecord(Record):
    """Base class of answers that lack the fields that weren't given."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    @model_serializer(mode="wrap")
    def _given(self, serialize: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        members = serialize(self)
        return {name: members[name] for name in members if name in self.model_fields_set}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        # The fields' own, not that of any dictionary.
        fields: Any = {name: part for name, part in core_schema.items() if name != "serialization"}
        return handler(fields)


class OwnerOfToken(Record):
    """The owner of a token."""

    type: Literal["user", "service_account", "external"]
    id: str = Field(examples=["usr_4fT0aB3cD5eF7gH9"])
    external_id: str | None = Field(
        description="The id it has in another product.", examples=[None]
    )
    name: str = Field(examples=["Ada Lovelace"])


def sent(model: type[R], record: object, response: "Response") -> R:
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
    errors: list[FieldError] = Field(default=[], description="For 422, and 409 `role_too_small`.")
    current: dict[str, Any] = Field(
        default={},
        description="The current record, for 409 `changed_meanwhile` and 503 `not_confirmed`.",
    )
    needed: list[str] = Field(
        default=[],
        description="For 401 and 403: the permissions that the call needed, as far as it was "
        "looked at.",
        examples=[["charges:create"]],
    )
    address: str | None = Field(
        default=None,
        description="For 401 and 403: the address that the server saw; null if it saw none.",
        examples=["203.0.113.9"],
    )
    help: str = Field(
        default="",
        description="The page that explains the refusal of an access token's call.",
        examples=["https://gatepass.example.com/decisions/dec_4fT0aB3cD5eF7gH9jK1mN3"],
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


Status = Literal["active", "expired", "deactivated"]
#: Of an access token, which may also wait for its approval.
TokenStatus = Literal["active", "pending", "expired", "deactivated"]

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
