"""Service accounts and external owners in answers, and the fields that requests give them."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from gatepass.registry.directory import owner_records
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.web.api.shapes import IdText, Record, Time, Versions, person_id, person_name

OwnerName = Annotated[
    str,
    Field(json_schema_extra={"minLength": 1, "maxLength": LONGEST_LABEL}, examples=["Deploys"]),
]
#: A role that an owner is given.
OwnerRole = Annotated[
    IdText,
    Field(
        description="A role's id; none that grants `*` or a permission of Gatepass other than "
        "`access-tokens:get` and `access-tokens:search`.",
        examples=["customer-service"],
    ),
]


class Owner(Record):
    """A service account or an external owner."""

    etag: ClassVar[Versions] = owner_records.etag

    id: str = Field(examples=["ext_4fT0aB3cD5eF7gH9"])
    type: Literal["service_account", "external"]
    external_id: str | None = Field(
        description="The id it has in another product.", examples=["customer-7"]
    )
    name: str = Field(examples=["Ada Lovelace"])
    role: str = Field(description="A role's id.", examples=["customer-service"])
    status: Literal["active", "deactivated"]
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None = Field(examples=[None])
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")
