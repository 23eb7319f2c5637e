"""A company's allowlist: from which networks its account is reached at all.

Nobody shuts themselves out for good: a list that lacks the address of whoever puts it counts on
trial. When that is over, the list before counts again: decided by time in ``core.grants``, so that
nothing has to run for it.
"""

from collections.abc import Collection, Sequence

import msgspec

from gatepass.core.errors import Conflict, NotFound
from gatepass.core.grants import Trial
from gatepass.core.networks import Networks, parse_address
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import companies
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, published_rules
from gatepass.registry.network_policy import allowlist_entries as kept
from gatepass.registry.network_policy.allowlist_entries import MOST_ENTRIES, Allowlist, Entry, etag
from gatepass.registry.storage.database import Change, Reading

__all__ = ["MOST_ENTRIES", "TRIAL_MS", "Allowlist", "Entry", "etag", "replace", "show"]

#: How long a list without one's own address counts, unless it is saved again from one it admits.
TRIAL_MS = 600_000


def show(reading: Reading, actor: Actor, company: str) -> Allowlist:
    """What counts now, and during a trial also what it will fall back to.

    Raises:
        Forbidden: without ``company:get``.
        NotFound: there is no such company, or it isn't the actor's.
    """
    actor.require("company:get")
    own_company(reading, actor, company)
    return kept.load(reading, company)


def replace(
    change: Change,
    actor: Actor,
    company: str,
    entries: Sequence[Entry],
    *,
    confirm: bool = False,
    if_match: Collection[str] | None = None,
) -> Allowlist:
    """Put the list; an empty one lifts the restriction. The same list again changes nothing.

    A list without the actor's own address is put on trial. It counts at once, for ``TRIAL_MS``, and
    then what was settled before it counts again. Put again from an address it admits, it is
    settled; so is every list that has the actor's address.

    Args:
        confirm: put on trial what would shut the actor out, instead of refusing it.
        if_match: the versions (``etag``) it may be changed from; None is any.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token; without ``company:modify``.
        NotFound: there is no such company, or it isn't the actor's.
        InvalidInput: for ``entries``, ``entries.3.network`` and so on.
        Conflict: ``changed_meanwhile``, with the ``current`` list; ``would_lock_you_out``: the list
            lacks the actor's own address, and it wasn't confirmed.
    """
    actor = acting(change, actor, "company:modify", person=True)
    name = own_company(change, actor, company)
    before = kept.load(change, company)
    if if_match is not None and etag(before) not in if_match:
        raise Conflict(
            "Someone changed the allowlist meanwhile.", reason="changed_meanwhile", current=before
        )
    put, networks = kept.read(entries)
    if not put or admits(networks, actor):
        after = Allowlist(put, None, put)
    elif confirm:
        after = Allowlist(put, change.now + TRIAL_MS, before.settled)
    else:
        raise Conflict(
            f"This list lacks your own address, {actor.address}: it would lock you out.",
            reason="would_lock_you_out",
        )
    if before == after:
        return after
    rules = published_rules(change, company)
    if after.trial_until is None:
        kept.settle(change, company, put)
        rules = msgspec.structs.replace(rules, allowlist=networks if put else None, trial=None)
    else:
        kept.try_out(change, company, put, after.trial_until)
        rules = msgspec.structs.replace(rules, trial=Trial(networks, after.trial_until))
    publish(change, rules)
    log.record(
        change,
        actor,
        _action(after),
        Subject("company", company, name),
        company=company,
        before=before.readable(),
        after=after.readable(),
    )
    return after


def admits(networks: Networks, actor: Actor) -> bool:
    """Whether *networks* let *actor* in from where they are. The command line is nowhere, and
    needs no letting in."""
    if actor.kind != "user":
        return True
    own = parse_address(actor.address)
    return own is not None and networks.contains(own)


def own_company(reading: Reading, actor: Actor, company: str) -> str:
    """The name of the actor's own company.

    Raises:
        NotFound: there is no such company, or it isn't the actor's.
    """
    if actor.company not in (None, company):
        raise NotFound("There is no such company.")
    return companies.get(reading, company).name


def _action(after: Allowlist) -> str:
    if after.trial_until is not None:
        return "allowlist.trial_started"
    return "allowlist.changed" if after.entries else "allowlist.lifted"
