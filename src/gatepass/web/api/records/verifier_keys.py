"""Verifier keys."""

from typing import Literal

from pydantic import Field

from gatepass.web.api.shapes import Record, Time, person_id, person_name


class VerifierKey(Record):
    """A verifier key; never its text."""

    id: str = Field(examples=["gpvk_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Gateway"])
    companies: list[str] | None = Field(
        examples=[None],
        description="The ids of the companies that it decides for; null: all.",
    )
    status: Literal["active", "deactivated"]
    created_at: Time
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None = Field(examples=[None])
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")
