"""Changing users: another role, the end of an account, or of a second factor that was lost.

A user is one row where decisions read (the holder), so another role and the end count on their very
next call, and on that of all their tokens and sign-ins.
"""

from collections.abc import Collection
from typing import Any, Literal

import msgspec
from sqlalchemy import func, select, update

from gatepass.core.catalogue import ADMIN
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden, InvalidInput
from gatepass.core.grants import Holder
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication import sessions, totp
from gatepass.registry.directory.user_search import find
from gatepass.registry.directory.users import User, active_operators, require_no_operator
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, published_holder, published_rules
from gatepass.registry.membership import pending_email_changes
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.tables import users
from gatepass.registry.tokens.of_user import deactivate_all


def etag(user: User) -> str:
    """Names the version of a user that people see and change. Signing in doesn't change it."""
    return etag_of(user.id, user.name, user.email, user.role, user.deactivated_at)


def change_role(
    change: Change,
    actor: Actor,
    user_id: str,
    *,
    role: str,
    if_match: Collection[str] | None = None,
) -> User:
    """Give a user another role. The same one again changes nothing.

    Args:
        role: a role's id.
        if_match: the versions (``etag``) it may be changed from; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``; without something that
            the role grants, or that the user's present one does; ``operator_required``.
        NotFound: there is none, or it is another company's.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``user_deactivated``;
            ``last_administrator``.
        InvalidInput: for ``role``; the company has none of that id.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = find(change, actor, user_id)
    require_unchanged(user, if_match)
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated: their role stays as it is.",
            reason="user_deactivated",
            current=user,
        )
    permitted = published_rules(change, user.company).roles
    if role not in permitted:
        raise InvalidInput([("role", "Must be the id of a role.")])
    if role != ADMIN.id:
        _require_another_administrator(change, user)
    require_not_above(change, actor, user)
    require_no_operator(actor, user)
    actor.require_held(permitted[role])
    if role == user.role:
        return user
    change.session.execute(update(users).where(users.c.id == user.id).values(role=role))
    publish(change, msgspec.structs.replace(_holder(change, user), role=role))
    _record(change, actor, "role_changed", user, before={"role": user.role}, after={"role": role})
    return find(change, actor, user.id)


def deactivate(
    change: Change,
    actor: Actor,
    user_id: str,
    *,
    access_tokens: Literal["deactivate", "keep"] = "deactivate",
) -> User:
    """End an account for good. Repeating it changes nothing.

    Args:
        access_tokens: ``deactivate`` ends theirs one by one; with ``keep`` they stay in the list as
            they are. Either way all of them, and all sign-ins, are refused from now on
            (``account_deactivated``).

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without something that
            the user's role grants; ``operator_required``.
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
    _require_another_administrator(change, user)
    require_not_above(change, actor, user)
    require_no_operator(actor, user)
    # Whoever runs the server can name another at any time.
    if actor.kind != "command line" and is_last_operator(change, user):
        raise Conflict(
            f"{isolated(user.name)} is the last operator: make someone else one first, on the "
            "server.",
            reason="last_operator",
            current=user,
        )
    ended = {
        "deactivated_at": change.now,
        "deactivated_by": actor.user,
        "deactivated_by_name": actor.name,
    }
    change.session.execute(update(users).where(users.c.id == user.id).values(ended))
    publish(change, msgspec.structs.replace(_holder(change, user), active=False))
    _record(
        change,
        actor,
        "deactivated",
        user,
        before={"deactivated_at": None},
        after={"deactivated_at": change.now, "access_tokens": access_tokens},
    )
    # Their links open nothing any more, so the changes must not be shown as waiting.
    pending_email_changes.end_pending(change, actor, user.id)
    pending_email_changes.end_requested_by(change, actor, user.id)
    receipts.begin(change, [_subject(user)], company=user.company)
    if access_tokens == "deactivate":
        deactivate_all(change, actor, user.id)
    return find(change, actor, user.id)


def turn_off_second_factor(change: Change, actor: Actor, user_id: str) -> User:
    """Let someone who lost both phone and recovery codes sign in with the password alone.

    Whoever made people believe that they had lost them must not go on with a sign-in that they got
    hold of: all of that user's end in the same transaction. Repeating it changes nothing.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without something that
            the user's role grants; ``operator_required``.
        NotFound: there is none, or it is another company's.
        Conflict: ``own_second_factor``: one's own takes the password and a code, or whoever got
            hold of a session could take the account over with it.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = find(change, actor, user_id)
    require_of_someone_else(actor, user)
    require_not_above(change, actor, user)
    require_no_operator(actor, user)
    if not user.second_factor:
        return user
    totp.remove(change, user.id)
    ended = sessions.end_of_user(change, actor, user.id)
    _record(change, actor, "second_factor_disabled", user, after={"authentications_ended": ended})
    return find(change, actor, user.id)


def name_operator(write: Write, actor: Actor, user_id: str, *, operator: bool) -> User:
    """Make someone an operator, or no operator any more. On the server alone; so the last one may
    go, too: whoever runs it can name another.

    Raises:
        Forbidden: ``operator_required`` for anyone but the command line.
        NotFound: there is no such user.
        Conflict: ``user_deactivated``.
    """
    if actor.kind != "command line":
        raise Forbidden("Only the command line names operators.", reason="operator_required")
    user = find(write, actor, user_id)
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated.", reason="user_deactivated", current=user
        )
    if user.operator == operator:
        return user
    write.session.execute(update(users).where(users.c.id == user.id).values(operator=operator))
    _record(
        write,
        actor,
        "operator_named" if operator else "operator_removed",
        user,
        before={"operator": user.operator},
        after={"operator": operator},
    )
    if operator:
        # No colleague changes an operator's address. Ended, it doesn't come back with --off either.
        pending_email_changes.end_requested_by_others(write, actor, user.id)
    return find(write, actor, user.id)


def require_of_someone_else(actor: Actor, user: User) -> None:
    """Raise Conflict (``own_second_factor``) if *user* is the actor."""
    if user.id == actor.user:
        raise Conflict(
            "Your own second factor is turned off in My account, with your password and a code.",
            reason="own_second_factor",
            current=user,
        )


def is_last_administrator(reading: Reading, user: User) -> bool:
    """Whether nobody else of the company is an active user with the built-in role Admin."""
    if user.role != ADMIN.id or user.status != "active":
        return False
    administrators = reading.session.execute(
        select(func.count()).where(
            users.c.company_id == user.company,
            users.c.role == ADMIN.id,
            users.c.deactivated_at.is_(None),
        )
    ).scalar_one()
    return administrators < 2


def is_last_operator(reading: Reading, user: User) -> bool:
    """Whether nobody else of the installation is an active operator."""
    return user.operator and user.status == "active" and active_operators(reading) < 2


def require_not_above(reading: Reading, actor: Actor, user: User) -> None:
    """Raise Forbidden (``permission_missing``) if *user*'s role holds something that the actor
    doesn't: a Manager must not be able to take an Admin's place."""
    actor.require_held(published_rules(reading, user.company).roles.get(user.role, ()))


def require_changeable(reading: Reading, actor: Actor, user: User) -> None:
    """Both of these, but the last administrator is let through: what is true of them is told before
    anything about privileges."""
    if not is_last_administrator(reading, user):
        require_not_above(reading, actor, user)
        require_no_operator(actor, user)


def require_unchanged(user: User, if_match: Collection[str] | None) -> None:
    """Raise Conflict (``changed_meanwhile``) unless it is one of the versions that *if_match* names
    (``etag``); None is any."""
    if if_match is not None and etag(user) not in if_match:
        raise Conflict(
            "Someone changed this user meanwhile.", reason="changed_meanwhile", current=user
        )


def _require_another_administrator(reading: Reading, user: User) -> None:
    # Behind the lock of all changes: two administrators who demote each other at the same moment
    # come one after the other, and the second is told.
    if is_last_administrator(reading, user):
        raise Conflict(
            f"{isolated(user.name)} is the last administrator: make someone else one first.",
            reason="last_administrator",
            current=user,
        )


def _holder(reading: Reading, user: User) -> Holder:
    return published_holder(reading, user.id) or Holder(user.id, user.company, True, user.role)


def _subject(user: User) -> Subject:
    return Subject("user", user.id, user.name)


def _record(
    write: Write,
    actor: Actor,
    what: str,
    user: User,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any],
) -> None:
    log.record(
        write,
        actor,
        f"user.{what}",
        _subject(user),
        company=user.company,
        before=before,
        after=after,
    )
