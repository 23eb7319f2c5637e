"""Re-checks an actor's permissions under the lock of all changes.

A request is admitted before its change gets the lock, and may wait for seconds behind others. If
one of those revokes its credential or changes its role, the request must be refused. So a change
checks its actor again once it has the lock.
"""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import select

from gatepass.core.decision import Reason, admin_key_refusal, held
from gatepass.core.errors import Forbidden
from gatepass.core.networks import parse_address
from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor
from gatepass.registry.grants.publishing import (
    admits,
    published_holder,
    published_of_actor,
    published_rules,
)
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import users

_SENTENCES = {
    Reason.token_pending: "This credential waits for the approval of a second person.",
    Reason.token_deactivated: "This credential has been deactivated.",
    Reason.token_expired: "This credential has expired.",
    Reason.account_deactivated: "This account has been deactivated.",
    Reason.company_address_not_allowed: "The company's allowlist doesn't contain this address.",
    Reason.address_not_allowed: "This credential can't be used from this address.",
}


def acting(
    change: Change,
    actor: Actor,
    *permissions: str,
    person: bool = False,
    own_account: bool = False,
    operator: bool = False,
    area: str = "",
    portal: bool = False,
) -> Actor:
    """The actor, checked again under the lock: the first statement of each changing operation.

    Args:
        permissions: the actor must hold all of them.
        person: refuse an access token.
        own_account: refuse all but a signed-in user, whose own account is changed.
        operator: require an operator.
        area: require an operator, or an admin key with this permission. Without it, every admin key
            is refused.
        portal: let portal sessions do it, whatever else is required. The operation must limit them
            to records of their owner (``Actor.user``).

    Returns:
        The actor, with the permissions it holds now.

    Raises:
        Repeated: ``Change.on_admitted`` raised it.
        Forbidden: ``admin_key``; ``portal_session``; ``signed_in_user_required``; as
            ``reauthorize`` says; ``permission_missing``; ``operator_required``. In this order.
    """
    if not area:
        actor.refuse_admin_key()
    if portal and actor.is_portal_session:
        person = False
    else:
        actor.refuse_portal_session()
    if own_account:
        actor.require_user()
    elif person:
        actor.require_signed_in()
    actor = reauthorize(change, actor)
    for permission in permissions:
        actor.require(permission, portal=portal)
    if operator:
        actor.require_operator()
    if area:
        actor.require_area(area)
    if change.on_admitted is not None:
        change.on_admitted()
    return actor


def reauthorize(reading: Reading, actor: Actor) -> Actor:
    """The actor, with the permissions it holds at the time of this reading.

    The command line and the system are returned unchanged.

    Raises:
        Forbidden: its credential was deactivated, is pending or has expired
            (``token_deactivated``, ``token_pending``, ``token_expired``), its user or company was
            deactivated (``account_deactivated``), or the company's allowlist doesn't contain its
            address (``company_address_not_allowed``); or an admin key's networks don't
            (``address_not_allowed``).
    """
    if actor.kind == "admin_key":
        return _reauthorize_admin_key(reading, actor)
    if actor.kind not in ("user", "token", "portal_session"):
        return actor
    grant, holder, rules = published_of_actor(
        reading, actor.credential or "", actor.user or "", actor.company or ""
    )
    if grant is None or grant.user != actor.user or grant.company != actor.company:
        raise Forbidden("This credential isn't valid for this user.", reason="token_invalid")
    if grant.ended:
        raise _forbidden(Reason.token_deactivated)
    if grant.pending:
        raise _forbidden(Reason.token_pending)
    if grant.expires_at is not None and reading.now >= grant.expires_at:
        raise _forbidden(Reason.token_expired)
    if holder is None or rules is None or not (holder.active and rules.active):
        raise _forbidden(Reason.account_deactivated)
    if not admits(reading, rules, actor.address):
        raise _forbidden(Reason.company_address_not_allowed)
    return replace(
        actor,
        permissions=frozenset(held(grant, holder, rules, reading.now)),
        operator=actor.operator and is_operator(reading, grant.user),
    )


def _reauthorize_admin_key(reading: Reading, actor: Actor) -> Actor:
    grant, _, rules = published_of_actor(reading, actor.credential or "", "", actor.company or "")
    if grant is None or grant.kind != "admin" or grant.company != (actor.company or ""):
        raise Forbidden("This credential isn't a valid admin key.", reason="token_invalid")
    refusal = admin_key_refusal(grant, rules, parse_address(actor.address), reading.now)
    if refusal is not None:
        raise _forbidden(refusal)
    return replace(actor, permissions=grant.permissions)


def _forbidden(refusal: Reason) -> Forbidden:
    return Forbidden(_SENTENCES[refusal], reason=refusal.value)


def still_holds(reading: Reading, user: str, permissions: Iterable[str]) -> bool:
    """Whether a user is active and their role holds all of *permissions*.

    A link in mail is valid only while the user who had it sent is allowed to have it sent, and
    their company is active.
    """
    holder = published_holder(reading, user)
    if holder is None or not holder.active:
        return False
    rules = published_rules(reading, holder.company)
    held = rules.roles.get(holder.role, frozenset())
    return rules.active and all(covers(held, permission) for permission in permissions)


def is_operator(reading: Reading, user: str) -> bool:
    """Whether the user with that id is an operator."""
    return bool(reading.session.scalar(select(users.c.operator).where(users.c.id == user)))
