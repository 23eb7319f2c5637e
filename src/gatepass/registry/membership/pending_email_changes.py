"""Changes of e-mail addresses that wait for their link to be used, and what ends them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select, update

from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import email_changes


@dataclass(frozen=True, slots=True)
class EmailChange:
    """A change that waits for its link to be used. Times are Unix ms.

    Attributes:
        former_email: the address that it replaces.
        email: the new address.
        requested_by: the user themself, or a colleague.
    """

    id: str
    user: str
    former_email: str
    email: str
    requested_by: Person
    created_at: int
    expires_at: int


def pending(reading: Reading, user_id: str) -> EmailChange | None:
    """The change of a user's address that waits for its link to be used, whoever asks."""
    row = reading.session.execute(
        _waiting(reading).where(email_changes.c.user_id == user_id).limit(1)
    ).one_or_none()
    return None if row is None else _change_of(row)


def end_pending(write: Write, actor: Actor, user_id: str) -> None:
    """End the change that waits, if one does. Performs no permission check."""
    waiting = pending(write, user_id)
    if waiting is not None:
        _end(write, actor, waiting)


def end_requested_by_others(write: Write, actor: Actor, user_id: str) -> None:
    """End the change that waits, if somebody else requested it. Performs no permission check."""
    waiting = pending(write, user_id)
    if waiting is not None and waiting.requested_by.id != user_id:
        _end(write, actor, waiting)


def end_requested_by(write: Write, actor: Actor, requester: str) -> None:
    """End the changes that *requester* asked for and that wait, their own included. Performs no
    permission check."""
    found = _waiting(write).where(email_changes.c.requested_by == requester)
    for row in write.session.execute(found.order_by(email_changes.c.id)).all():
        _end(write, actor, _change_of(row))


def record(write: Write, actor: Actor, what: str, user: User, email: str) -> None:
    """Record in the audit log that a change of *user*'s address to *email* was *what*."""
    log.record(
        write,
        actor,
        f"user.email_change_{what}",
        Subject("user", user.id, user.name),
        company=user.company,
        before={"email": user.email},
        after={"email": email},
    )


def _waiting(reading: Reading) -> Select[Any]:
    table = email_changes.c
    return select(email_changes).where(
        table.used_at.is_(None),
        table.deactivated_at.is_(None),
        table.expires_at > reading.now,
    )


def _change_of(row: Row[Any]) -> EmailChange:
    return EmailChange(
        id=row.id,
        user=row.user_id,
        former_email=row.former_email,
        email=row.email,
        requested_by=Person(row.requested_by, row.requested_by_name),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _end(write: Write, actor: Actor, waiting: EmailChange) -> None:
    outbox.drop(write, waiting.id)
    write.session.execute(
        update(email_changes)
        .where(email_changes.c.id == waiting.id)
        .values(
            deactivated_at=write.now,
            deactivated_by=actor.user,
            deactivated_by_name=actor.name,
        )
    )
    record(write, actor, "cancelled", users.get(write, waiting.user), waiting.email)
