"""``/v1/access-tokens/{id}/calls``."""

from typing import Annotated

from fastapi import Query
from pydantic import Field

from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls.observed_calls import Outcome
from gatepass.web.api.parameters import Paging, RecordId
from gatepass.web.api.request_body import resource
from gatepass.web.api.shapes import Listed, Record, TakenTime, Time
from gatepass.web.caller import AuthenticatedOrPortal, CurrentNode

router = resource("Access tokens")


class ObservedCall(Record):
    """Equal calls of an access token on one day (UTC).

    Calls of that day that were too many to be told apart have only `outcome`, `count` and the
    times.
    """

    decision: str | None = Field(
        examples=["dec_4fT0aB3cD5eF7gH9iJ1kL2"],
        description="The id of the refusal; null for allowed calls.",
    )
    outcome: Outcome = Field(examples=["refused"])
    reason: str | None = Field(examples=["permission_missing"])
    permission: str | None = Field(
        examples=["charges:create"],
        description="The permission asked for by name, else the route's.",
    )
    route: str | None = Field(
        examples=["/v1/charges/{id}"],
        description="Of the catalogue; null if none matched, or the call named none.",
    )
    method: str | None = Field(examples=["GET"], description="The route's, so GET for HEAD.")
    address: str | None = Field(
        examples=["203.0.113.7"],
        description="Or a network with 64 bits to check, for many IPv6 addresses.",
    )
    origin: str | None = Field(examples=["https://shop.example.com"])
    count: int = Field(examples=[12])
    first_at: Time
    last_at: Time


@router.get("/access-tokens/{id}/calls", summary="The calls that an access token made")
def search(
    node: CurrentNode,
    actor: AuthenticatedOrPortal,
    id: RecordId,
    paging: Paging,
    outcome: Outcome | None = None,
    since: Annotated[
        TakenTime | None, Query(description="Those made at or after this time.")
    ] = None,
    until: Annotated[TakenTime | None, Query(description="Those made before this time.")] = None,
) -> Listed[ObservedCall]:
    """Needs `access-tokens:get`. The last made come first, some seconds late; they are kept for 90
    days. Whatever a call's path was, only the catalogue's route is kept."""
    with node.database.read(node.clock.now()) as reading:
        page = access_tokens.calls(
            reading, actor, id, outcome=outcome, since=since, until=until, **paging
        )
    return Listed[ObservedCall].of(page)
