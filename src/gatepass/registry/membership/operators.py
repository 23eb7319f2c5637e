"""Appointing and dismissing operators, from the command line only."""

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.directory import portal_sessions
from gatepass.registry.directory.user_search import find
from gatepass.registry.directory.users import User, record
from gatepass.registry.membership import pending_email_changes
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import users


def name_operator(change: Change, actor: Actor, user_id: str, *, operator: bool) -> User:
    """Make a user an operator, or no operator. Idempotent.

    Portal sessions that a dismissed one opened end.

    The last operator may be dismissed, too: the command line can appoint another at any time.

    Raises:
        Forbidden: ``operator_required`` for anyone but the command line.
        NotFound: there is no such user.
        Conflict: ``user_deactivated``.
    """
    if actor.kind != "command line":
        raise Forbidden("Only the command line names operators.", reason="operator_required")
    user = find(change, actor, user_id)
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated.", reason="user_deactivated", current=user
        )
    if user.operator == operator:
        return user
    update_row(change, users, user.id, operator=operator)
    what = "operator_named" if operator else "operator_removed"
    before, after = {"operator": user.operator}, {"operator": operator}
    record(change, actor, what, user, before=before, after=after)
    if operator:
        # Colleagues may not change an operator's address, nor with a link requested before. A
        # cancelled change stays cancelled when the user is dismissed again.
        pending_email_changes.end_requested_by_others(change, actor, user.id)
    else:
        # They opened them as an operator.
        portal_sessions.end_opened_by(change, actor, user.id)
    return find(change, actor, user.id)
