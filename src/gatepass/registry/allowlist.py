"""A company's allowlist: from which networks its account is reached at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from gatepass.core.errors import Conflict, NotFound
from gatepass.core.networks import InvalidNetwork, Networks, parse_address, parse_network
from gatepass.registry import audit, companies
from gatepass.registry.actor import Actor
from gatepass.registry.audit import Subject
from gatepass.registry.fields import LONGEST_LABEL, Problems, storable
from gatepass.registry.publishing import publish, published_rules
from gatepass.registry.standing import standing
from gatepass.registry.tables import allowlist_entries

MOST_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One network, such as ``203.0.113.0/24``, and what the company notes about it."""

    network: str
    note: str = ""


def show(session: Session, actor: Actor, company: str) -> list[Entry]:
    """The entries in the order they were put; none is no restriction.

    Raises:
        Forbidden: without ``company:get``.
        NotFound: there is no such company, or it isn't the actor's.
    """
    actor.require("company:get")
    _require_own(session, actor, company)
    return _entries(session, company)


def replace(session: Session, actor: Actor, company: str, entries: Sequence[Entry]) -> list[Entry]:
    """Put the list; an empty one lifts the restriction. The same list again changes nothing.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token; without ``company:modify``.
        NotFound: there is no such company, or it isn't the actor's.
        InvalidInput: for ``entries``, ``entries.3.network`` and so on.
        Conflict: ``would_lock_you_out``; the list lacks the actor's own address.
    """
    actor.require_signed_in()
    actor = standing(session, actor)
    actor.require("company:modify")
    name = _require_own(session, actor, company)
    canonical, networks = _read(entries)
    if canonical and actor.kind == "user":
        own = parse_address(actor.address)
        if own is None or not networks.contains(own):
            raise Conflict(
                f"This list lacks your own address, {actor.address}: it would lock you out.",
                reason="would_lock_you_out",
            )
    before = _entries(session, company)
    if before == canonical:
        return canonical
    session.execute(delete(allowlist_entries).where(allowlist_entries.c.company_id == company))
    if canonical:
        session.execute(
            insert(allowlist_entries),
            [
                {
                    "company_id": company,
                    "position": position,
                    "network": entry.network,
                    "note": entry.note,
                }
                for position, entry in enumerate(canonical)
            ],
        )
    rules = published_rules(session, company)
    allowlist = networks if canonical else None
    publish(session, msgspec.structs.replace(rules, allowlist=allowlist))
    audit.record(
        session,
        actor,
        "allowlist.changed" if canonical else "allowlist.lifted",
        Subject("company", company, name),
        company=company,
        before={"entries": _readable(before)},
        after={"entries": _readable(canonical)},
    )
    return canonical


def _require_own(session: Session, actor: Actor, company: str) -> str:
    if actor.company not in (None, company):
        raise NotFound("There is no such company.")
    return companies.get(session, company).name


def _read(entries: Sequence[Entry]) -> tuple[list[Entry], Networks]:
    problems = Problems()
    if len(entries) > MOST_ENTRIES:
        problems.add("entries", f"At most {MOST_ENTRIES:,} networks.")
        problems.settle()
    found: dict[str, Entry] = {}
    networks = []
    for number, entry in enumerate(entries):
        try:
            network = parse_network(entry.network)
        except InvalidNetwork as error:
            problems.add(f"entries.{number}.network", str(error))
            continue
        if len(entry.note) > LONGEST_LABEL or not storable(entry.note):
            problems.add(
                f"entries.{number}.note",
                f"At most {LONGEST_LABEL} characters, without control characters.",
            )
        networks.append(network)
        found.setdefault(str(network), Entry(str(network), entry.note))
    problems.settle()
    return list(found.values()), Networks.of(networks)


def _entries(session: Session, company: str) -> list[Entry]:
    rows = session.execute(
        select(allowlist_entries.c.network, allowlist_entries.c.note)
        .where(allowlist_entries.c.company_id == company)
        .order_by(allowlist_entries.c.position)
    )
    return [Entry(row.network, row.note) for row in rows]


def _readable(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [{"network": entry.network, "note": entry.note} for entry in entries]
