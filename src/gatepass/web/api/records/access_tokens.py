"""Access tokens."""

from typing import ClassVar, Literal

from pydantic import Field

from gatepass.registry.tokens import records
from gatepass.web.api.shapes import (
    OwnerOfToken,
    Record,
    Status,
    Time,
    Versions,
    person_id,
    person_name,
)


class LastUsed(Record):
    """A token's last use, a few seconds late."""

    at: Time
    address: str | None = Field(examples=["203.0.113.7"])


class AccessToken(Record):
    """An access token; never its text."""

    etag: ClassVar[Versions] = records.etag

    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Nightly settlement"])
    kind: Literal["api", "ui"]
    status: Status
    permissions: tuple[str, ...] = Field(
        examples=[["charges:*"]], description="As chosen, with wildcards."
    )
    effective_permissions: tuple[str, ...] = Field(
        examples=[["charges:create", "charges:get"]],
        description="The chosen permissions that its owner's role has now.",
    )
    networks: tuple[str, ...] = Field(examples=[["203.0.113.0/24"]])
    domains: tuple[str, ...]
    expires_at: Time | None
    metadata: dict[str, str] = Field(examples=[{"team": "payments"}])
    external_id: str | None = Field(examples=["deploy-7"])
    created_at: Time
    owner: OwnerOfToken
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None = Field(examples=[None])
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")
    last_used: LastUsed | None
