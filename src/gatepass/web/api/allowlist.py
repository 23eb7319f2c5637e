"""``/v1/company/allowlist``."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import Field

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.network_policy import allowlist, allowlist_entries, allowlist_impact
from gatepass.web.api.body import Fields, body, takes
from gatepass.web.api.confirmation import settled
from gatepass.web.api.shapes import Record, Time, wanted_tags
from gatepass.web.caller import Authenticated, OurNode, SignedIn

router = APIRouter(tags=["Company"])

_MOST: dict[str, Any] = {"maxItems": allowlist_entries.MOST_ENTRIES}


class NewEntry(Fields):
    """One network."""

    network: str = Field(examples=["203.0.113.0/24"])
    note: str = Field(default="", json_schema_extra={"maxLength": 100}, examples=["Office"])


class Entries(Fields):
    """A list, as it would be put."""

    entries: list[NewEntry] = Field(json_schema_extra=_MOST, description="None: no restriction.")

    def typed(self) -> list[allowlist_entries.Entry]:
        """As the registry takes them."""
        return [allowlist_entries.Entry(entry.network, entry.note) for entry in self.entries]


class NewAllowlist(Entries):
    """What the list shall be."""

    confirm: bool = Field(
        default=False,
        description="Put a list that lacks one's own address on trial, instead of 409 "
        "`would_lock_you_out`.",
    )


class Entry(Record):
    """One network, and what the company notes about it."""

    network: str
    note: str


class Allowlist(Record):
    """From which networks the account is reached at all."""

    entries: tuple[Entry, ...] = Field(description="What counts now; none: from anywhere.")
    trial_until: Time | None = Field(
        description="When this stops counting by itself; null unless it is on trial."
    )
    falls_back_to: tuple[Entry, ...] | None = Field(
        description="What counts after the trial; null unless there is one."
    )


class ShutOutUser(Record):
    """Someone whose latest address the list lacks."""

    id: str
    name: str
    address: str
    at: Time = Field(description="When they signed in from there.")


class ShutOutToken(Record):
    """An access token whose latest address the list lacks."""

    id: str
    label: str = Field(validation_alias="name")
    address: str
    at: Time = Field(description="When it was last used from there.")


class ShutOut(Record):
    """Those of the last 30 days' callers whom the list would shut out, the latest 100 of each."""

    users: list[ShutOutUser]
    user_count: int
    tokens: list[ShutOutToken]
    token_count: int


class Preview(Record):
    """What a list would mean."""

    shut_out: ShutOut
    includes_you: bool = Field(description="Whether the address of this call is in it.")


@router.get("/company/allowlist", summary="The company's allowlist")
def get(response: Response, node: OurNode, actor: Authenticated) -> Allowlist:
    """Needs `company:get`."""
    with node.database.read(node.clock.now()) as reading:
        return _sent(allowlist.show(reading, actor, _company(actor)), response)


@router.put(
    "/company/allowlist",
    summary="Put the company's allowlist",
    openapi_extra=takes(NewAllowlist),
)
def put(
    response: Response,
    node: OurNode,
    actor: SignedIn,
    new: Annotated[NewAllowlist, body(NewAllowlist)],
    if_match: Annotated[list[str] | None, Header()] = None,
) -> Allowlist:
    """Needs `company:modify`. It counts from the next call on, for the dashboard, the API and every
    token; an empty list lifts it. A list without one's own address is 409 `would_lock_you_out`;
    with `confirm` it is put on trial for ten minutes, and falls back by itself to the list before
    unless it is put again from an address it admits. With `If-Match`, only the version it names is
    changed (else 409)."""
    try:
        with node.database.write(node.clock.now()) as change:
            changed = allowlist.replace(
                change,
                actor,
                _company(actor),
                new.typed(),
                confirm=new.confirm,
                if_match=wanted_tags(if_match),
            )
    except Conflict as conflict:
        if isinstance(conflict.current, allowlist_entries.Allowlist):
            current = Allowlist.model_validate(conflict.current)
            conflict.current = current.model_dump(mode="json")
        raise
    return settled(change.confirmed, _sent(changed, response))


@router.post(
    "/company/allowlist/preview",
    summary="Whom a list would shut out",
    openapi_extra=takes(Entries),
)
def preview(node: OurNode, actor: SignedIn, wanted: Annotated[Entries, body(Entries)]) -> Preview:
    """Needs `company:modify`. Changes nothing: it names the active users and tokens whose latest
    address of the last 30 days the list lacks."""
    with node.database.read(node.clock.now()) as reading:
        found = allowlist_impact.preview(reading, actor, _company(actor), wanted.typed())
    return Preview(shut_out=ShutOut.model_validate(found), includes_you=found.includes_you)


def _company(actor: Actor) -> str:
    # Whoever calls has one; only the command line and the system act for every company.
    return actor.company or ""


def _sent(found: allowlist_entries.Allowlist, response: Response) -> Allowlist:
    response.headers["ETag"] = allowlist_entries.etag(found)
    return Allowlist.model_validate(found)
