"""Impact of an allowlist: the users and tokens it would refuse, and which of their calls.

A user or token is affected if their last known address of the past 30 days isn't in the list. Older
addresses are ignored, because people move. So are users and tokens not seen in that time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any

import msgspec
from sqlalchemy import Select, or_, select

from gatepass.core.networks import Networks, parse_address
from gatepass.registry.actor import Actor
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.network_policy import allowlist_entries
from gatepass.registry.network_policy.allowlist import admits, own_company
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import (
    access_tokens,
    authentications,
    token_use,
    token_use_addresses,
    users,
)
from gatepass.registry.tokens.calls import impact
from gatepass.registry.tokens.calls.impact import Impact
from gatepass.registry.tokens.calls.usage import DAY_MS

DAYS = 30
#: At most this many of each are named, the most recent first.
NAMED = 100


@dataclass(frozen=True, slots=True)
class Caller:
    """A user or access token, last seen at an address that a list lacks.

    Attributes:
        name: the user's name, or the token's label.
        at: when it was last seen there (Unix ms).
    """

    id: str
    name: str
    address: str
    at: int


@dataclass(frozen=True, slots=True)
class AllowlistImpact:
    """The users and tokens that a list would refuse.

    Attributes:
        users, tokens: the ``NAMED`` most recent of each.
        user_count, token_count: the number of all.
        includes_you: whether the list admits the actor's address, or is empty.
    """

    users: list[Caller]
    user_count: int
    tokens: list[Caller]
    token_count: int
    includes_you: bool


def preview(
    reading: Reading, actor: Actor, company: str, entries: Sequence[Entry]
) -> AllowlistImpact:
    """The active users and tokens of the last 30 days that the list *entries* would refuse.

    Raises:
        Forbidden: without ``company:modify``; ``signed_in_user_required`` for an access token,
            which must not learn about sign-ins.
        NotFound: there is no such company, or it isn't the actor's.
        InvalidInput: for ``entries``, ``entries.3.network`` and so on.
    """
    actor.require_signed_in()
    actor.require("company:modify")
    own_company(reading, actor, company)
    wanted, networks = allowlist_entries.read(entries)
    if not wanted:
        return AllowlistImpact([], 0, [], 0, True)
    people, user_count = _outside(reading, _people(reading, company), networks)
    tokens, token_count = _outside(reading, _tokens(reading, company), networks)
    return AllowlistImpact(people, user_count, tokens, token_count, admits(networks, actor))


def calls(reading: Reading, actor: Actor, company: str, entries: Sequence[Entry]) -> Impact:
    """What would become of the calls of the company's access tokens under the list *entries*.

    The list in effect, perhaps one on trial, is what they are compared with. Without
    ``access-tokens:get`` it names no calls.

    Raises:
        Forbidden, NotFound, InvalidInput: as ``preview`` does.
    """
    actor.require_signed_in()
    actor.require("company:modify")
    own_company(reading, actor, company)
    wanted, networks = allowlist_entries.read(entries)
    allowlist = networks if wanted else None
    after = msgspec.structs.replace(
        published_rules(reading, company), allowlist=allowlist, trial=None
    )
    found = impact.of_company(reading, company, lambda rules: rules._replace(company=after))
    return found if actor.may("access-tokens:get") else found.without_names()


# One index look-up for each user or token, however many sign-ins and uses there are.


def _people(reading: Reading, company: str) -> Select[Any]:
    signed_in = authentications.alias()
    latest = (
        select(signed_in.c.id)
        .where(
            signed_in.c.user_id == users.c.id,
            signed_in.c.created_at >= _since(reading),
            signed_in.c.address.is_not(None),
        )
        .order_by(signed_in.c.created_at.desc(), signed_in.c.id.desc())
        .limit(1)
        .correlate(users)
        .scalar_subquery()
    )
    return (
        select(
            users.c.id,
            users.c.name,
            authentications.c.address,
            authentications.c.created_at.label("at"),
        )
        .select_from(users)
        .join(authentications, authentications.c.id == latest)
        .where(users.c.company_id == company, users.c.deactivated_at.is_(None))
    )


def _tokens(reading: Reading, company: str) -> Select[Any]:
    since = _since(reading)
    used = token_use_addresses.alias()
    latest = (
        select(used.c.address)
        .where(used.c.token_id == access_tokens.c.id)
        .order_by(used.c.last_at.desc(), used.c.address)
        .limit(1)
        .correlate(access_tokens)
        .scalar_subquery()
    )
    table = token_use_addresses.c
    expires_at = access_tokens.c.expires_at
    return (
        select(
            access_tokens.c.id,
            access_tokens.c.label.label("name"),
            table.address,
            table.last_at.label("at"),
        )
        .select_from(access_tokens)
        .join(token_use, token_use.c.token_id == access_tokens.c.id)
        .join(
            token_use_addresses,
            (table.token_id == access_tokens.c.id) & (table.address == latest),
        )
        .where(
            access_tokens.c.company_id == company,
            access_tokens.c.deactivated_at.is_(None),
            or_(expires_at.is_(None), expires_at > reading.now),
            token_use.c.last_at >= since,
            table.last_at >= since,
        )
    )


def _outside(
    reading: Reading, callers: Select[Any], networks: Networks
) -> tuple[list[Caller], int]:
    """The most recent callers from outside *networks*, and the number of all."""
    admitted: dict[str, bool] = {}
    outside = []
    for found in reading.session.execute(callers):
        address = found[2]
        if address not in admitted:
            packed = parse_address(address)
            admitted[address] = packed is not None and networks.contains(packed)
        if not admitted[address]:
            outside.append(found)
    named = nlargest(NAMED, outside, key=lambda found: (found[3], found[0]))
    return [Caller(*found) for found in named], len(outside)


def _since(reading: Reading) -> int:
    return reading.now - DAYS * DAY_MS
