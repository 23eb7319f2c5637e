"""Assigning a role to a user.

The role takes effect on the user's next request, and on that of all their tokens and sign-ins:
decisions read it from one row per user (the holder).
"""

from collections.abc import Collection

from gatepass.core.catalogue import ADMIN
from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.directory.user_privileges import (
    require_active,
    require_another_administrator,
    require_no_operator,
    require_not_above,
)
from gatepass.registry.directory.user_search import find
from gatepass.registry.directory.users import User, publish_holder, record, require_unchanged
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import users


def change_role(
    change: Change,
    actor: Actor,
    user_id: str,
    *,
    role: str,
    if_match: Collection[str] | None = None,
) -> User:
    """Assign another role to a user. Idempotent.

    Args:
        role: a role's id.
        if_match: the accepted versions (``users.etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without a permission
            of the new or the present role; ``operator_required``.
        NotFound: there is none, or it is another company's.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``user_deactivated``;
            ``last_administrator``.
        InvalidInput: for ``role``; the company has none of that id.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = find(change, actor, user_id)
    require_unchanged(user, if_match)
    require_active(user, "their role")
    permitted = published_roles(change, user.company)
    if role not in permitted:
        raise InvalidInput([("role", "Must be the id of a role.")])
    if role != ADMIN.id:
        require_another_administrator(change, user)
    require_not_above(change, actor, user)
    require_no_operator(actor, user)
    actor.require_held(permitted[role])
    if role == user.role:
        return user
    return assign(change, actor, user, role)


def assign(change: Change, actor: Actor, user: User, role: str) -> User:
    """Assign a role (an id) to a user. Performs no check; the caller must have done it."""
    update_row(change, users, user.id, role=role)
    publish_holder(change, user, role=role)
    record(change, actor, "role_changed", user, before={"role": user.role}, after={"role": role})
    return find(change, actor, user.id)
