"""How far a new company has come: facts of its records, and nothing that is stored for it."""

from dataclasses import dataclass
from typing import Unpack

from sqlalchemy import Table, select

from gatepass.registry.actor import Actor
from gatepass.registry.authentication import totp_policy
from gatepass.registry.directory import companies
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import invitations, users
from gatepass.registry.tokens.lists import search
from gatepass.registry.tokens.lists.selection import Filters

#: A company is new for so long (milliseconds).
NEW_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What has been done.

    Attributes:
        token: the id of the newest access token but a decoy; None if there is none.
        called: whether a call with any of them was allowed.
        invited: whether there is, or was, a second user or an invitation.
        limited: whether an allowlist or a token's networks limit where calls come from.
        second_factor: whether the actor has one.
    """

    token: str | None
    called: bool
    invited: bool
    limited: bool
    second_factor: bool


def is_new(reading: Reading, company: str) -> bool:
    """Whether the company with that id was created in the last 30 days."""
    return companies.get(reading, company).created_at > reading.now - NEW_MS


def first_steps(reading: Reading, actor: Actor) -> FirstSteps:
    """The steps of the actor's company.

    Raises:
        Forbidden: without ``access-tokens:search``.
    """
    company = actor.company or ""

    def newest(**filters: Unpack[Filters]) -> str | None:
        found = search.list_(reading, actor, limit=1, counted=False, **filters)
        return found.items[0].id if found.items else None

    return FirstSteps(
        token=newest(kind="api") or newest(kind="ui"),
        called=newest(used="ever") is not None,
        invited=_has(reading, invitations, company, 1) or _has(reading, users, company, 2),
        limited=published_rules(reading, company).allowlist is not None
        or newest(network="any") is not None,
        second_factor=totp_policy.has_own(reading, actor.user or ""),
    )


def _has(reading: Reading, table: Table, company: str, number: int) -> bool:
    """Whether the company has so many rows in *table*."""
    rows = select(table.c.id).where(table.c.company_id == company).limit(number)
    return len(reading.session.scalars(rows).all()) == number
