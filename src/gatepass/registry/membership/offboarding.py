"""Deactivating a user: revokes tokens and sign-ins, cancels pending mail.

The deactivation takes effect on the user's next request, and on that of all their tokens and
sign-ins: decisions read it from one row per user (the holder).
"""

from typing import Literal

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, InvalidInput
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
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import mark_deactivated
from gatepass.registry.storage.tables import users
from gatepass.registry.tokens.of_owner import deactivate_all


def deactivate(
    change: Change,
    actor: Actor,
    user_id: str,
    *,
    access_tokens: Literal["deactivate", "keep"] = "deactivate",
) -> User:
    """Deactivate a user for good. Idempotent.

    Args:
        access_tokens: ``deactivate`` deactivates each of the user's tokens; ``keep`` leaves their
            records unchanged. Either way all tokens and sign-ins are refused from now on
            (``account_deactivated``).

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without a permission
            of the user's role; ``operator_required``.
        NotFound: there is none, or it is another company's.
        Conflict: ``last_administrator``, ``last_operator``.
        InvalidInput: for ``access_tokens``.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = find(change, actor, user_id)
    if access_tokens not in ("deactivate", "keep"):
        raise InvalidInput([("access_tokens", 'Must be "deactivate" or "keep".')])
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
    mark_deactivated(change, actor, users, users.c.id == user.id)
    publish_holder(change, user, active=False)
    before = {"deactivated_at": None}
    after = {"deactivated_at": change.now, "access_tokens": access_tokens}
    record(change, actor, "deactivated", user, before=before, after=after)
    # Their links are broken now, so these changes must not be shown as pending.
    pending_email_changes.end_pending(change, actor, user.id)
    pending_email_changes.end_requested_by(change, actor, user.id)
    receipts.begin(change, [subject_of(user)], company=user.company)
    portal_sessions.end_opened_by(change, actor, user.id)
    if access_tokens == "deactivate":
        deactivate_all(change, actor, user.id)
    return find(change, actor, user.id)
