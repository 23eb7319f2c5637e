"""Access tokens."""

from typing import ClassVar, Literal

from pydantic import Field

from gatepass.registry.tokens import records
from gatepass.web.api.shapes import (
    OwnerOfToken,
    Record,
    Time,
    TokenStatus,
    Versions,
    person_id,
    person_name,
)


class LastUsed(Record):
    """A token's last use, a few seconds late."""

    at: Time
    address: str | None = Field(examples=["203.0.113.7"])


class Caller(Record):
    """A caller of a token."""

    address: str | None = Field(examples=["203.0.113.7"])
    permission: str | None = Field(examples=["charges:create"])
    last_at: Time
    count: int = Field(examples=[41])


class Rotation(Record):
    """What a token replaces, what replaces it, and how it closes."""

    replaces: str | None = Field(examples=[None], description="Id of the token it replaces.")
    replaced_by: str | None = Field(
        examples=["gpat_9sR2kV7xQ1mN5bTz"], description="Id of the token that replaces it."
    )
    close: Literal["now", "after", "when_silent"] | None = Field(
        description="How it closes; null unless it was replaced.", examples=["when_silent"]
    )
    closes_at: Time | None = Field(description="When it closes at the latest.")
    waiting_for: tuple[str, ...] = Field(
        examples=[["app-7f9c"]],
        description="Servers that haven't reported its use; it isn't silent until they have, or "
        "have lost their copy for as long.",
    )
    callers: tuple[Caller, ...] = Field(
        description="Who used it in the last 24 hours, or within the silence after which it "
        "closes, the latest first; empty once it has closed."
    )


class Rehearsal(Record):
    """A rehearsal of a token's deactivation."""

    until: Time
    share: int = Field(examples=[10], description="Of the calls that are refused, in percent.")
    refused: int = Field(examples=[12], description="How many were, a few seconds late.")


class Approval(Record):
    """A token's approval by a second person."""

    pending_since: Time | None = Field(
        description="Since when it waits; null once it is approved.", examples=[None]
    )
    until: Time | None = Field(
        description="When it is deactivated if it still waits.", examples=[None]
    )
    approved_at: Time | None
    approved_by: str | None = person_id("approved_by")
    approved_by_name: str | None = person_name("approved_by")


class TokenException(Record):
    """A permission that a token holds for a while, besides its own."""

    permission: str = Field(examples=["refunds:create"])
    until: Time
    request: str = Field(
        examples=["req_4fT0aB3cD5eF7gH9"], description="Id of the access request that it answers."
    )


class AccessToken(Record):
    """An access token; never its text."""

    etag: ClassVar[Versions] = records.etag

    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    imported: bool = Field(examples=[False], description="Whether another system issued its text.")
    label: str = Field(examples=["Nightly settlement"])
    kind: Literal["api", "ui", "decoy"]
    status: TokenStatus
    permissions: tuple[str, ...] = Field(
        examples=[["charges:*"]], description="As chosen, with wildcards."
    )
    effective_permissions: tuple[str, ...] = Field(
        examples=[["charges:create", "charges:get"]],
        description="The chosen permissions, and those of its exceptions, that its owner's role "
        "has now.",
    )
    networks: tuple[str, ...] = Field(examples=[["203.0.113.0/24"]])
    domains: tuple[str, ...]
    expires_at: Time | None
    metadata: dict[str, str] = Field(examples=[{"team": "payments"}])
    external_id: str | None = Field(examples=["deploy-7"])
    unused_days: int | None = Field(
        description="After so many days without use it is deactivated; null: never.", examples=[60]
    )
    created_at: Time
    owner: OwnerOfToken
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")
    deactivated_at: Time | None = Field(examples=[None])
    deactivated_by: str | None = person_id("deactivated_by")
    deactivated_by_name: str | None = person_name("deactivated_by")
    last_used: LastUsed | None
    rotation: Rotation | None
    rehearsal: Rehearsal | None = Field(
        description="The running rehearsal of its deactivation.", examples=[None]
    )
    approval: Approval | None = Field(
        description="Null if it neither waits for approval nor was approved."
    )
    exceptions: tuple[TokenException, ...] = Field(
        description="Permissions that it holds for a while, besides its own."
    )
