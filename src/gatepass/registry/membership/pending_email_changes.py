"""Pending e-mail changes: those whose link was not followed yet, and still may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row

from gatepass.core.credentials import EMAIL_CHANGE
from gatepass.registry.actor import Actor, Person
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import still_holds
from gatepass.registry.grants.publishing import published_roles, published_rules
from gatepass.registry.membership.single_use_links import LinkKind, rows_of_users
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.rows import record_of
from gatepass.registry.storage.tables import email_changes

EMAIL_CHANGES = LinkKind(
    table=email_changes,
    rows=rows_of_users(email_changes),
    id_prefix="eml",
    token_prefix=EMAIL_CHANGE,
    mail="email_change",
    broken="This e-mail address link is broken",
    reason="email_change_broken",
)


@dataclass(frozen=True, slots=True)
class EmailChange:
    """A pending e-mail change. Times are Unix ms.

    Attributes:
        former_email: the present address.
        email: the new address.
        requested_by: the user, or a colleague.
    """

    id: str
    user: str
    former_email: str
    email: str
    requested_by: Person
    created_at: int
    expires_at: int


def pending(reading: Reading, user_id: str) -> EmailChange | None:
    """A user's pending change; a user has at most one. Performs no permission check.

    None while the colleague who requested it may not change the address: its link is broken then.
    """
    found = _open(reading, email_changes.c.user_id == user_id)
    return next((_change_of(row) for row in found if is_valid(reading, row)), None)


def is_valid(reading: Reading, row: Row[Any]) -> bool:
    """Whether a change may still be made: all conditions are checked now."""
    user = users.get(reading, row.user_id)
    return (
        EMAIL_CHANGES.state(row, reading.now) == "pending"
        and user.status == "active"
        and published_rules(reading, user.company).active
        and user.email == row.former_email
        and (row.requested_by == user.id or _may_change(reading, row.requested_by, user))
    )


def end_pending(write: Write, actor: Actor, user_id: str) -> None:
    """Cancel a user's pending change. Performs no permission check."""
    _end(write, actor, _open(write, email_changes.c.user_id == user_id))


def end_requested_by_others(write: Write, actor: Actor, user_id: str) -> None:
    """Cancel a user's pending change if another requested it. Performs no permission check."""
    found = _open(write, email_changes.c.user_id == user_id)
    _end(write, actor, [row for row in found if row.requested_by != user_id])


def end_requested_by(write: Write, actor: Actor, requester: str) -> None:
    """Cancel all pending changes that *requester* requested. Performs no permission check."""
    _end(write, actor, _open(write, email_changes.c.requested_by == requester))


def record(write: Write, actor: Actor, what: str, user: User, email: str) -> None:
    """Write the audit event ``user.email_change_{what}`` of a change to *email*."""
    before, after = {"email": user.email}, {"email": email}
    users.record(write, actor, f"email_change_{what}", user, before=before, after=after)


def _may_change(reading: Reading, requester: str, user: User) -> bool:
    """Whether a colleague may still change this user's address."""
    granted = published_roles(reading, user.company).get(user.role, frozenset())
    return not user.operator and still_holds(reading, requester, {"users:manage", *granted})


def _open(reading: Reading, which: ColumnElement[bool]) -> Sequence[Row[Any]]:
    wanted = EMAIL_CHANGES.rows.where(EMAIL_CHANGES.pending(reading), which)
    return reading.session.execute(wanted.order_by(email_changes.c.id)).all()


def _change_of(row: Row[Any]) -> EmailChange:
    return record_of(
        EmailChange,
        row,
        user=row.user_id,
        requested_by=Person(row.requested_by, row.requested_by_name),
    )


def _end(write: Write, actor: Actor, found: Sequence[Row[Any]]) -> None:
    for row in found:
        EMAIL_CHANGES.end(write, actor, email_changes.c.id == row.id)
        record(write, actor, "cancelled", users.get(write, row.user_id), row.email)
