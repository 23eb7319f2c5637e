"""Pending e-mail changes: those whose link was not followed yet."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row

from gatepass.core.credentials import EMAIL_CHANGE
from gatepass.registry.actor import Actor, Person
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
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
    """A user's pending change; a user has at most one. Performs no permission check."""
    found = _pending(reading, email_changes.c.user_id == user_id)
    return found[0] if found else None


def end_pending(write: Write, actor: Actor, user_id: str) -> None:
    """Cancel a user's pending change. Performs no permission check."""
    _end(write, actor, _pending(write, email_changes.c.user_id == user_id))


def end_requested_by_others(write: Write, actor: Actor, user_id: str) -> None:
    """Cancel a user's pending change if another requested it. Performs no permission check."""
    found = _pending(write, email_changes.c.user_id == user_id)
    _end(write, actor, [each for each in found if each.requested_by.id != user_id])


def end_requested_by(write: Write, actor: Actor, requester: str) -> None:
    """Cancel all pending changes that *requester* requested. Performs no permission check."""
    _end(write, actor, _pending(write, email_changes.c.requested_by == requester))


def record(write: Write, actor: Actor, what: str, user: User, email: str) -> None:
    """Write the audit event ``user.email_change_{what}`` of a change to *email*."""
    before, after = {"email": user.email}, {"email": email}
    users.record(write, actor, f"email_change_{what}", user, before=before, after=after)


def _pending(reading: Reading, which: ColumnElement[bool]) -> list[EmailChange]:
    wanted = EMAIL_CHANGES.rows.where(EMAIL_CHANGES.pending(reading), which)
    rows = reading.session.execute(wanted.order_by(email_changes.c.id)).all()
    return [_change_of(row) for row in rows]


def _change_of(row: Row[Any]) -> EmailChange:
    return record_of(
        EmailChange,
        row,
        user=row.user_id,
        requested_by=Person(row.requested_by, row.requested_by_name),
    )


def _end(write: Write, actor: Actor, found: list[EmailChange]) -> None:
    for each in found:
        EMAIL_CHANGES.end(write, actor, email_changes.c.id == each.id)
        record(write, actor, "cancelled", users.get(write, each.user), each.email)
