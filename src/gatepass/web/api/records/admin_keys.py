"""Admin keys."""

from typing import Literal

from pydantic import Field

from gatepass.web.api.shapes import Record, Status, Time, person_id, person_name

Area = Literal["companies", "owners", "tokens", "portal", "verifiers"]


class AdminKey(Record):
    """An admin key; never its text."""

    id: str = Field(examples=["gpak_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Shop backend"])
    status: Status
    company: str | None = Field(
        examples=[None], description="The id of the only company that it may manage; null: all."
    )
    permissions: list[Area] = Field(
        examples=[["owners", "tokens"]], description="What it may manage."
    )
    networks: list[str] = Field(
        examples=[["203.0.113.0/24"]], description="Networks it can be used from; empty: any."
    )
    expires_at: Time | None
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None = Field(examples=[None])
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")
