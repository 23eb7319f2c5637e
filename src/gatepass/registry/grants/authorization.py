"""Re-checks an actor's permissions under the lock of all changes.

A request is admitted before its change gets the lock, and may wait for seconds behind others. If
one of those revokes its credential or changes its role, the request must be refused. So a change
checks its actor again once it has the lock.
"""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import select

from gatepass.core.decision import held
from gatepass.core.errors import Forbidden
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


def acting(
    change: Change,
    actor: Actor,
    *permissions: str,
    person: bool = False,
    own_account: bool = False,
    operator: bool = False,
) -> Actor:
    """The actor, checked again under the lock: the first statement of each changing operation.

    Args:
        permissions: the actor must hold all of them.
        person: refuse an access token.
        own_account: refuse all but a signed-in user, whose own account is changed.
        operator: require an operator.

    Returns:
        The actor, with the permissions it holds now.

    Raises:
        Forbidden: ``signed_in_user_required``; as ``reauthorize`` says; ``permission_missing``;
            ``operator_required``. In this order.
    """
    if own_account:
        actor.require_user()
    elif person:
        actor.require_signed_in()
    actor = reauthorize(change, actor)
    for permission in permissions:
        actor.require(permission)
    if operator:
        actor.require_operator()
    return actor


def reauthorize(reading: Reading, actor: Actor) -> Actor:
    """The actor, with the permissions it holds at the time of this reading.

    The command line and the system are returned unchanged.

    Raises:
        Forbidden: its credential was deactivated or has expired (``token_deactivated``,
            ``token_expired``), its user or company was deactivated (``account_deactivated``), or
            the company's allowlist doesn't contain its address
            (``company_address_not_allowed``).
    """
    if actor.kind not in ("user", "token"):
        return actor
    grant, holder, rules = published_of_actor(
        reading, actor.credential or "", actor.user or "", actor.company or ""
    )
    if grant is None or grant.user != actor.user or grant.company != actor.company:
        raise Forbidden("This credential isn't valid for this user.", reason="token_invalid")
    if grant.deactivated:
        raise Forbidden("This credential has been deactivated.", reason="token_deactivated")
    if grant.expires_at is not None and reading.now >= grant.expires_at:
        raise Forbidden("This credential has expired.", reason="token_expired")
    if holder is None or rules is None or not (holder.active and rules.active):
        raise Forbidden("This account has been deactivated.", reason="account_deactivated")
    if not admits(reading, rules, actor.address):
        raise Forbidden(
            "The company's allowlist doesn't contain this address.",
            reason="company_address_not_allowed",
        )
    return replace(
        actor,
        permissions=frozenset(held(grant, holder, rules)),
        operator=actor.operator and _is_operator(reading, grant.user),
    )


def still_holds(reading: Reading, user: str, permissions: Iterable[str]) -> bool:
    """Whether a user is active and their role holds all of *permissions*.

    A link in mail is valid only while the user who had it sent is allowed to have it sent.
    """
    holder = published_holder(reading, user)
    if holder is None or not holder.active:
        return False
    held = published_rules(reading, holder.company).roles.get(holder.role, frozenset())
    return all(covers(held, permission) for permission in permissions)


def _is_operator(reading: Reading, user: str) -> bool:
    return bool(reading.session.scalar(select(users.c.operator).where(users.c.id == user)))
