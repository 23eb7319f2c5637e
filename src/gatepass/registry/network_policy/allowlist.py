"""A company's allowlist: the networks from which its account is reachable.

Nobody can lock themselves out for good. A list that lacks the actor's own address is saved as a
trial, after which the former list applies again. ``core.grants`` compares the trial's end with the
time of each decision, so no background task is needed.
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
from gatepass.registry.network_policy.allowlist_entries import Allowlist, Entry, etag
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.rows import require_unchanged

#: Duration of a trial, unless an admitted address saves the list again.
TRIAL_MS = 600_000


def show(reading: Reading, actor: Actor, company: str) -> Allowlist:
    """The allowlist in force, and during a trial also the list that applies after it.

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
    """Replace the allowlist; an empty list lifts the restriction. Idempotent.

    A list with the actor's own address is settled. A list without it starts a trial: it applies at
    once, for ``TRIAL_MS``, and then the settled list applies again. Saving the list again from an
    address that it admits settles it.

    Args:
        confirm: start a trial for a list that would lock the actor out, instead of refusing it.
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required`` for an access token; without ``company:modify``.
        NotFound: there is no such company, or it isn't the actor's.
        InvalidInput: for ``entries``, ``entries.3.network`` and so on.
        Conflict: ``changed_meanwhile``, with the ``current`` list; ``would_lock_you_out``: the list
            lacks the actor's own address, and *confirm* is False.
    """
    actor = acting(change, actor, "company:modify", person=True)
    name = own_company(change, actor, company)
    before = kept.load(change, company)
    require_unchanged(before, etag(before), if_match, "the allowlist")
    wanted, networks = kept.read(entries)
    if not wanted or admits(networks, actor):
        after = Allowlist(wanted, None, wanted)
    elif confirm:
        after = Allowlist(wanted, change.now + TRIAL_MS, before.settled)
    else:
        raise Conflict(
            f"This list lacks your own address, {actor.address}: it would lock you out.",
            reason="would_lock_you_out",
        )
    if before == after:
        return after
    rules = published_rules(change, company)
    if after.trial_until is None:
        kept.settle(change, company, wanted)
        rules = msgspec.structs.replace(rules, allowlist=networks if wanted else None, trial=None)
    else:
        kept.start_trial(change, company, wanted, after.trial_until)
        rules = msgspec.structs.replace(rules, trial=Trial(networks, after.trial_until))
    publish(change, rules)
    subject = Subject("company", company, name)
    fields = {"before": before.readable(), "after": after.readable()}
    log.record(change, actor, _action(after), subject, company=company, **fields)
    return after


def admits(networks: Networks, actor: Actor) -> bool:
    """Whether *networks* contain the actor's address. The command line has none, and passes."""
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
