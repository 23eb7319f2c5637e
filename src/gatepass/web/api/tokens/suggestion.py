"""``/v1/access-tokens/{id}/suggestion``: the narrowest token that would have sufficed."""

from typing import Annotated

from fastapi import Query
from pydantic import Field, RootModel

from gatepass.registry.tokens.least_privilege import suggestion
from gatepass.registry.tokens.least_privilege.suggestion import DAYS, MOST_DAYS
from gatepass.web.api.parameters import RecordId, whole_number
from gatepass.web.api.request_body import resource
from gatepass.web.api.shapes import Record, Time
from gatepass.web.caller import Authenticated, CurrentNode

router = resource("Access tokens")

#: How far back to look.
Days = Annotated[
    int,
    Query(ge=1, le=MOST_DAYS, description=f"How far back to look; absent: {DAYS}."),
    whole_number(MOST_DAYS),
]


class AccessTokenLimits(Record):
    """Permissions, networks and domains of an access token."""

    permissions: tuple[str, ...] = Field(examples=[["refunds:create"]])
    networks: tuple[str, ...] = Field(examples=[[]])
    domains: tuple[str, ...] = Field(examples=[[]])


class SeenUse(Record):
    """The calls that a suggestion is made from."""

    calls: int = Field(examples=[3041], description="How many were allowed.")
    since: Time


class SufficientLimits(Record):
    """The narrowest limits that would have sufficed for the calls that were seen."""

    permissions: tuple[str, ...] = Field(examples=[["charges:create", "charges:get"]])
    networks: tuple[str, ...] = Field(
        examples=[["203.0.113.7/32"]],
        description="As they are, if more than 100 addresses were seen, or a call from an unknown "
        "one.",
    )
    domains: tuple[str, ...] = Field(examples=[[]])
    unused: AccessTokenLimits = Field(description="What the token has and no call needed.")
    basis: SeenUse

    @classmethod
    def of(cls, found: suggestion.Suggestion) -> "SufficientLimits":
        """The answer about *found*."""
        return cls(
            **found.limits._asdict(),
            unused=AccessTokenLimits(**found.unused._asdict()),
            basis=SeenUse(calls=found.calls, since=found.since),
        )


class Suggestion(RootModel[SufficientLimits | None]):
    """The limits that would have sufficed; null if fewer than 20 calls were seen."""


@router.get("/access-tokens/{id}/suggestion", summary="The narrowest token that would suffice")
def get(
    node: CurrentNode, actor: Authenticated, id: RecordId, days: Days | None = None
) -> Suggestion:
    """Needs `access-tokens:get`. A limit is narrowed if it is known what all calls needed of it:
    where calls were too many to be told apart, it stays. Calls of Gatepass's own API don't show
    which of its permissions they needed, so these stay as well."""
    with node.database.read(node.clock.now()) as reading:
        found = suggestion.find(reading, actor, id, days=days or DAYS)
    return Suggestion(None if found is None else SufficientLimits.of(found))
