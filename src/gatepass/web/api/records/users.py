"""Users."""

from typing import ClassVar, Literal

from pydantic import Field

from gatepass.registry.directory import users
from gatepass.web.api.shapes import Record, Time, Versions, person_id, person_name

UserStatus = Literal["active", "deactivated"]


class User(Record):
    """A user of the company."""

    etag: ClassVar[Versions] = users.etag

    id: str = Field(examples=["usr_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Ada Lovelace"])
    email: str = Field(examples=["ada@example.com"])
    role: str = Field(examples=["admin"], description="A role's id.")
    status: UserStatus
    created_at: Time
    last_sign_in_at: Time | None
    second_factor: bool = Field(description="Whether signing in requires one.")
    deactivated_at: Time | None = Field(examples=[None])
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")
