"""``/v1/company/allowlist``."""

from typing import Annotated, Any

from fastapi import Response
from pydantic import Field

from gatepass.registry.actor import Actor
from gatepass.registry.network_policy import allowlist, allowlist_entries, allowlist_impact
from gatepass.registry.storage.database import Reading
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import IfMatch
from gatepass.web.api.records.allowlist import Allowlist
from gatepass.web.api.records.impact import CallImpact
from gatepass.web.api.request_body import Fields, body, resource
from gatepass.web.api.shapes import Record, Time, current_as, sent
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = resource("Company")

_MOST: dict[str, Any] = {"maxItems": allowlist_entries.MOST_ENTRIES}


class NewAllowlistEntry(Fields):
    """A network."""

    network: str = Field(json_schema_extra={"maxLength": 100}, examples=["203.0.113.0/24"])
    note: str = Field(default="", json_schema_extra={"maxLength": 100}, examples=["Office"])


class ProposedAllowlist(Fields):
    """The entries of an allowlist."""

    entries: list[NewAllowlistEntry] = Field(
        json_schema_extra=_MOST, description="Empty: no restriction."
    )

    def typed(self) -> list[allowlist_entries.Entry]:
        """The entries in the registry's type."""
        return [allowlist_entries.Entry(entry.network, entry.note) for entry in self.entries]


class NewAllowlist(ProposedAllowlist):
    """A new allowlist."""

    confirm: bool = Field(
        default=False,
        description="Put a list without your own address on trial, instead of 409 "
        "`would_lock_you_out`.",
    )


class LockedOutUser(Record):
    """A user whose latest address the list lacks."""

    id: str = Field(examples=["usr_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Ada Lovelace"])
    address: str = Field(examples=["203.0.113.7"])
    at: Time = Field(description="When they signed in from there.")


class LockedOutToken(Record):
    """An access token whose latest address the list lacks."""

    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    label: str = Field(validation_alias="name", examples=["Nightly settlement"])
    address: str = Field(examples=["203.0.113.7"])
    at: Time = Field(description="When it was last used from there.")


class LockedOut(Record):
    """The callers of the last 30 days that the list would lock out, the latest 100 of each."""

    users: list[LockedOutUser]
    user_count: int
    tokens: list[LockedOutToken]
    token_count: int


class AllowlistPreview(CallImpact):
    """The impact of a list, on people and tokens by their latest address, and on calls."""

    shut_out: LockedOut
    includes_you: bool = Field(description="Whether the list has the address of this call.")


@router.get("/company/allowlist", summary="The company's allowlist")
def get(response: Response, node: CurrentNode, actor: Authenticated) -> Allowlist:
    """Needs `company:get`."""
    with node.database.read(node.clock.now()) as reading:
        return sent(Allowlist, allowlist.show(reading, actor, _company(actor)), response)


@router.put("/company/allowlist", summary="Replace the company's allowlist")
def put(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    new: Annotated[NewAllowlist, body(NewAllowlist)],
    if_match: IfMatch,
) -> Allowlist:
    """Needs `company:modify`. Takes effect on the next call, for the dashboard, the API and every
    token; an empty list removes the restriction. A list without your own address is 409
    `would_lock_you_out`; with `confirm` it goes on trial for ten minutes, and is then reverted
    unless you send it again from an address on it. With `If-Match`, only that version is changed
    (else 409)."""
    with current_as(Allowlist), node.database.write(node.clock.now()) as change:
        changed = allowlist.replace(
            change,
            actor,
            _company(actor),
            new.typed(),
            confirm=new.confirm,
            if_match=if_match,
        )
    return settled(change.confirmed, sent(Allowlist, changed, response))


@router.post("/company/allowlist/preview", summary="Preview the impact of an allowlist")
def preview(
    actor: SignedIn,
    changing: CurrentChange,
    wanted: Annotated[ProposedAllowlist, body(ProposedAllowlist)],
) -> AllowlistPreview:
    """Needs `company:modify`. Changes nothing: lists the active users and tokens whose latest
    address within 30 days the list lacks, and decides the tokens' calls of that time again. Without
    `access-tokens:get`, `items` is empty."""

    def operation(reading: Reading) -> AllowlistPreview:
        entries = wanted.typed()
        found = allowlist_impact.preview(reading, actor, _company(actor), entries)
        calls = allowlist_impact.calls(reading, actor, _company(actor), entries)
        return AllowlistPreview(
            **dict(CallImpact.model_validate(calls)),
            shut_out=LockedOut.model_validate(found),
            includes_you=found.includes_you,
        )

    return changing.reading(operation)


def _company(actor: Actor) -> str:
    # Every caller of the API has a company; only the command line and the system have none.
    return actor.company or ""
