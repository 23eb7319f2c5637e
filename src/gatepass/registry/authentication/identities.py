"""Identities: links of users to accounts at an OIDC provider, by issuer and subject alone.

An e-mail address never links a user: providers let people choose addresses, or reassign them. Users
link themselves while they are signed in, after re-authentication.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Text, cast, delete, insert, select, update

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.authentication import sessions
from gatepass.registry.authentication.reauthentication import Reauthentication
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage.database import Change, Committed, Reading, Write
from gatepass.registry.storage.tables import identities
from gatepass.registry.storage.tables import users as users_table

#: A link's id for ``ended.log``: the user has one at a time. Linked again, it is another.
LINK_ID: ColumnElement[str] = identities.c.user_id + ":" + cast(identities.c.linked_at, Text)


@dataclass(frozen=True, slots=True)
class Identity:
    """A user's account at a provider. ``linked_at`` is Unix ms."""

    issuer: str
    subject: str
    linked_at: int


def of_user(reading: Reading, user_id: str) -> Identity | None:
    """A user's identity; each user has one at most."""
    row = reading.session.execute(
        select(identities).where(identities.c.user_id == user_id)
    ).one_or_none()
    return None if row is None else Identity(row.issuer, row.subject, row.linked_at)


def find(reading: Reading, issuer: str, subject: str) -> Row[Any] | None:
    """The row of an identity, with ``user_id`` and ``logged_out_at``."""
    return reading.session.execute(
        select(identities).where(identities.c.issuer == issuer, identities.c.subject == subject)
    ).one_or_none()


def reauthenticate(
    reauthentication: Reauthentication, actor: Actor, *, password: str, code: str
) -> None:
    """Prove that it is the user who is about to link an identity.

    The new way in doesn't ask for their code, so they have to give it here.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Conflict, Unavailable: as
            ``Reauthentication.change`` says; ``password_missing``.
    """
    _with_secrets(reauthentication, actor, password, code, lambda change, actor, row: None)


def link(change: Change, actor: Actor, *, issuer: str, subject: str) -> None:
    """Link the actor's account, in place of an earlier identity. Idempotent.

    The caller must have re-authenticated the user, and verified the identity with the provider.

    Raises:
        Forbidden: ``signed_in_user_required``; as ``acting`` says.
        Conflict: as ``assign`` says.
    """
    actor = acting(change, actor, own_account=True)
    user = users.get(change, actor.user or "")
    assign(change, actor, user, issuer=issuer, subject=subject)


def assign(change: Change, actor: Actor, user: User, *, issuer: str, subject: str) -> None:
    """Link a user's account, in place of an earlier identity. Idempotent.

    Performs no permission check; the caller must have done it.

    Raises:
        Conflict: ``identity_taken``: another user has it.
    """
    present = find(change, issuer, subject)
    if present is not None and present.user_id == user.id:
        return
    if present is not None and users.get(change, present.user_id).status == "active":
        raise Conflict(
            "Another user of this Gatepass is linked to that account.", reason="identity_taken"
        )
    # A deactivated user's identity is free: they may have come back as another user.
    of_either = (identities.c.user_id == user.id) | (
        (identities.c.issuer == issuer) & (identities.c.subject == subject)
    )
    remove(change, actor, of_either)
    add(change, actor, user, issuer=issuer, subject=subject)


def add(write: Write, actor: Actor, user: User, *, issuer: str, subject: str) -> None:
    """Insert a link. Performs no check; the caller must have done it."""
    write.session.execute(
        insert(identities),
        {"issuer": issuer, "subject": subject, "user_id": user.id, "linked_at": write.now},
    )
    users.record(write, actor, "identity_linked", user, after={"issuer": issuer})


def unlink(
    reauthentication: Reauthentication, actor: Actor, *, password: str, code: str, required: bool
) -> Committed[None]:
    """Unlink one's own account. Idempotent.

    Args:
        required: whether users who aren't operators sign in with the provider alone.

    Raises:
        Forbidden, InvalidInput, TooManyAttempts, Conflict, Unavailable: as
            ``Reauthentication.change`` says; ``password_missing``; ``oidc_required``: the user
            couldn't sign in any more.
    """

    def make(change: Change, actor: Actor, row: Row[Any]) -> None:
        if required and not row.operator:
            raise Conflict(
                "You couldn't sign in any more: this Gatepass doesn't accept passwords.",
                reason="oidc_required",
            )
        remove(change, actor, identities.c.user_id == row.id)

    return _with_secrets(reauthentication, actor, password, code, make)


def remove(change: Change, actor: Actor, condition: ColumnElement[bool]) -> int:
    """Delete the links that match *condition*, and end their sign-ins; the number of links.

    A user may unlink because the account at the provider isn't safe any more: a sign-in with it
    mustn't go on, except the actor's own. Performs no check.
    """
    linked = select(users_table, identities.c.issuer, LINK_ID.label("link")).join(identities)
    found = change.session.execute(linked.where(condition)).all()
    for row in found:
        change.session.execute(delete(identities).where(identities.c.user_id == row.id))
        # A restored backup must not bring the link back.
        change.end([Subject("identity", row.link, row.name)], by=actor)
        before = {"issuer": row.issuer}
        user = users.user_of(row)
        # Nothing of a deactivated user is valid, and the actor may not see their sign-ins.
        active = user.status == "active"
        ended = sessions.end_of_provider(change, actor, user.id) if active else 0
        after = {"authentications_ended": ended}
        users.record(change, actor, "identity_unlinked", user, before=before, after=after)
    return len(found)


def note_logout(write: Write, user_id: str) -> None:
    """Record that the provider signed a user out now."""
    write.session.execute(
        update(identities).where(identities.c.user_id == user_id).values(logged_out_at=write.now)
    )


def has_password(reading: Reading, user_id: str) -> bool:
    """Whether a user has a password; a provider's sign-in creates users without one."""
    found = select(users_table.c.password_hash).where(users_table.c.id == user_id)
    return bool(reading.session.execute(found).scalar_one())


def _with_secrets(
    reauthentication: Reauthentication, actor: Actor, password: str, code: str, make: Any
) -> Committed[None]:
    row = reauthentication.own_row(actor)
    if not row.password_hash:
        raise Conflict(
            "Set a password first: use “Forgot your password?” on the sign-in page.",
            reason="password_missing",
        )
    return reauthentication.change(
        actor, make, password=password, code=code if row.totp_sealed is not None else None
    )
