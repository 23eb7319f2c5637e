"""A company's allowlist."""

from typing import ClassVar

from pydantic import Field

from gatepass.registry.network_policy import allowlist_entries
from gatepass.web.api.shapes import Record, Time, Versions


class AllowlistEntry(Record):
    """A network, and the company's note about it."""

    network: str = Field(examples=["203.0.113.0/24"])
    note: str = Field(examples=["Office"])


class Allowlist(Record):
    """The networks from which the company's dashboard, API and tokens can be used."""

    etag: ClassVar[Versions] = allowlist_entries.etag

    entries: tuple[AllowlistEntry, ...] = Field(description="In effect now; empty: no restriction.")
    trial_until: Time | None = Field(
        examples=[None],
        description="When the list is reverted by itself; null unless it is on trial.",
    )
    falls_back_to: tuple[AllowlistEntry, ...] | None = Field(
        examples=[None], description="The list after the trial; null unless there is one."
    )
