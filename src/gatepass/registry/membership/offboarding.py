"""Deactivating a user: revokes or hands over tokens, revokes sign-ins, cancels pending mail.

The deactivation takes effect on the user's next request, and on that of all their tokens and
sign-ins: decisions read it from one row per user (the holder).
"""

from typing import Any

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, InvalidInput
from gatepass.core.grants import SERVICE_ACCOUNT
from gatepass.registry.actor import Actor
from gatepass.registry.directory import portal_sessions
from gatepass.registry.directory.user_privileges import (
    is_last_operator,
    require_another_administrator,
    require_no_operator,
    require_not_above,
)
from gatepass.registry.directory.user_search import find
from gatepass.registry.directory.users import User, publish_holder, record, subject_of
from gatepass.registry.grants.authorization import acting
from gatepass.registry.membership import pending_email_changes
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.rows import mark_deactivated
from gatepass.registry.storage.tables import users
from gatepass.registry.tokens import hand_over, token_owners
from gatepass.registry.tokens.hand_over import Handling, Prepared, Recipient
from gatepass.registry.tokens.token_owners import NewOwner


def deactivate(
    change: Change, actor: Actor, user_id: str, *, tokens: Handling | None = None
) -> User:
    """Deactivate a user for good. Idempotent.

    Args:
        tokens: what becomes of the user's access tokens; None deactivates each. Those that are
            handed over work as before, without a gap. All others and all sign-ins are refused from
            now on; tokens that are kept are so with ``account_deactivated``.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without a permission
            of the user's role; ``operator_required``; to hand over, as ``recipient`` says.
        NotFound: there is none, or it is another company's; likewise who gets the tokens.
        Conflict: ``last_administrator``, ``last_operator``; ``owner_deactivated``: who gets the
            tokens is; as ``hand_over.prepare`` says.
        InvalidInput: for ``access_tokens``, ``to`` or ``tokens``.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = find(change, actor, user_id)
    tokens = Handling() if tokens is None else tokens
    tokens.require_valid()
    if user.status != "active":
        return user
    require_another_administrator(change, user)
    require_not_above(change, actor, user)
    require_no_operator(actor, user)
    # The command line can appoint another operator at any time.
    if actor.kind != "command line" and is_last_operator(change, user):
        raise Conflict(
            f"{isolated(user.name)} is the last operator: make someone else one first, on the "
            "server.",
            reason="last_operator",
            current=user,
        )
    to = None if tokens.to is None else recipient(change, actor, user, tokens.to)
    prepared = hand_over.prepare(change, user, tokens, to)
    mark_deactivated(change, actor, users, users.c.id == user.id)
    publish_holder(change, user, active=False)
    record(
        change,
        actor,
        "deactivated",
        user,
        before={"deactivated_at": None},
        after={"deactivated_at": change.now, **_recorded(prepared)},
    )
    # Their links are broken now, so these changes must not be shown as pending.
    pending_email_changes.end_pending(change, actor, user.id)
    pending_email_changes.end_requested_by(change, actor, user.id)
    receipts.begin(change, [subject_of(user)], company=user.company)
    portal_sessions.end_opened_by(change, actor, user.id)
    hand_over.carry_out(change, actor, prepared)
    return find(change, actor, user.id)


def recipient(reading: Reading, actor: Actor, leaver: User, to: Recipient) -> NewOwner:
    """Who gets the access tokens of *leaver*, if *actor* may hand them over.

    Raises:
        Forbidden: ``permission_missing``: the actor lacks a permission that the role of *to*
            grants, or ``service-accounts:manage`` for a service account.
        NotFound: there is none, or it is another company's.
        Conflict: ``owner_deactivated``.
        InvalidInput: for ``to``; it is *leaver*.
    """
    found = token_owners.recipient(reading, leaver.company, to.type, to.id)
    if found.owner.id == leaver.id:
        raise InvalidInput([("to.id", "Must be another one than the user who is deactivated.")])
    if found.owner.type == SERVICE_ACCOUNT:
        actor.require("service-accounts:manage")
    actor.require_held(found.role)
    return found


def _recorded(prepared: Prepared) -> dict[str, Any]:
    """What the audit event says of the access tokens."""
    fields: dict[str, Any] = {"access_tokens": prepared.rest}
    if prepared.to is not None:
        to = prepared.to
        fields |= {"handed_over": len(prepared.handed_over), "owner": to.id, "owner_name": to.name}
    return fields
