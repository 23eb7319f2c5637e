"""What an actor may do at the moment of a change.

A request is admitted before its change gets its turn, and may wait for seconds behind others. If
one of those ended its credential, or took its role away, it must not be carried out any more: so a
change looks at its actor once more, behind the lock.
"""

from collections.abc import Iterable
from dataclasses import replace

from gatepass.core.decision import held
from gatepass.core.errors import Forbidden, NotFound
from gatepass.core.networks import parse_address
from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor
from gatepass.registry.grants.publishing import published_grant, published_holder, published_rules
from gatepass.registry.storage.database import Reading


def standing(reading: Reading, actor: Actor) -> Actor:
    """*actor* with what it may do now; call it first in whatever changes something.

    The command line and the system stay as they are.

    Raises:
        Forbidden: its credential was ended or expired meanwhile (``token_deactivated``,
            ``token_expired``), or its user or company was (``account_deactivated``), or the
            company's allowlist lacks its address by now (``company_address_not_allowed``).
    """
    if actor.kind not in ("user", "token"):
        return actor
    grant = published_grant(reading, actor.credential or "")
    if grant is None or grant.user != actor.user or grant.company != actor.company:
        raise Forbidden("This credential is none of this user's.", reason="token_invalid")
    if grant.deactivated:
        raise Forbidden("This credential has been deactivated.", reason="token_deactivated")
    if grant.expires_at is not None and reading.now >= grant.expires_at:
        raise Forbidden("This credential has expired.", reason="token_expired")
    holder = published_holder(reading, grant.user)
    try:
        rules = published_rules(reading, grant.company)
    except NotFound:
        rules = None
    if holder is None or rules is None or not (holder.active and rules.active):
        raise Forbidden("This account has been deactivated.", reason="account_deactivated")
    allowlist, address = rules.allowlist_at(reading.now), parse_address(actor.address)
    if allowlist is not None and (address is None or not allowlist.contains(address)):
        raise Forbidden(
            "The company's allowlist lacks this address.", reason="company_address_not_allowed"
        )
    return replace(actor, permissions=frozenset(held(grant, holder, rules)))


def still_holds(reading: Reading, user: str, permissions: Iterable[str]) -> bool:
    """Whether a user is active, and their role holds all of *permissions*: a link counts for as
    long as whoever had it sent may have it sent."""
    holder = published_holder(reading, user)
    if holder is None or not holder.active:
        return False
    held = published_rules(reading, holder.company).roles.get(holder.role, frozenset())
    return all(covers(held, permission) for permission in permissions)
