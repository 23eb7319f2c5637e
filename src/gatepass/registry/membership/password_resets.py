"""Forgotten passwords: a link by mail, good for an hour, with which to set a new one.

Whoever asks learns nothing: not whether there is such an account, nor whether mail went out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import Row, func, insert, select, update

from gatepass.core.credentials import PASSWORD_RESET, new_id
from gatepass.core.errors import BrokenLink, Conflict
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication import passwords, sessions, throttling
from gatepass.registry.directory.users import User, latest_row
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.membership import outbox, pending_email_changes
from gatepass.registry.membership.single_use_links import followed, new_link, require_admitted
from gatepass.registry.storage.database import (
    AdvisoryLock,
    Change,
    Database,
    Reading,
    Write,
    take_advisory_lock,
)
from gatepass.registry.storage.database_time import AHEAD_MS
from gatepass.registry.storage.tables import companies, password_resets, users

BROKEN = "This password reset link is broken"
MAIL_KIND = "password_reset"
LIFETIME_MS = 3_600_000
#: An account gets no more mails than this within an hour, however often someone asks.
MOST_AN_HOUR = 3

_STORED = (
    select(
        password_resets,
        users.c.company_id,
        users.c.email,
        users.c.name.label("user_name"),
        users.c.totp_sealed,
        users.c.deactivated_at.label("user_deactivated_at"),
        companies.c.name.label("company_name"),
    )
    .join(users, users.c.id == password_resets.c.user_id)
    .join(companies, companies.c.id == users.c.company_id)
)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose password a good link sets. ``expires_at`` is the link's, in Unix ms."""

    user: str
    email: str
    name: str
    company_name: str
    second_factor: bool
    expires_at: int


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes into a password reset's mail; ``token`` into nothing else."""

    user_name: str
    company_name: str
    expires_at: int
    token: str


def request(write: Write, email: str, address: str | None) -> bool:
    """Have a link sent to whoever has that address.

    Returns:
        Whether a mail will go out. Never to be told to whoever asked.
    """
    # One at a time: of many at once each finds those counted before it.
    take_advisory_lock(write, AdvisoryLock.password_resets)
    user = _recipient(write, email)
    if user is None:
        return False
    now = write.now
    reset_id = new_id("rst")
    expires_at = now + LIFETIME_MS
    write.session.execute(
        insert(password_resets),
        {"id": reset_id, "user_id": user.id, "created_at": now, "expires_at": expires_at},
    )
    outbox.enqueue(
        write,
        kind=MAIL_KIND,
        subject=reset_id,
        company=user.company_id,
        recipient=user.email,
        expires_at=expires_at,
    )
    # Whoever it was, they weren't shown to be this user: so the user is the subject.
    log.record(
        write,
        replace(Actor.system(), address=address),
        "user.password_reset_requested",
        Subject("user", user.id, user.name),
        company=user.company_id,
    )
    return True


def is_due(reading: Reading, email: str) -> bool:
    """Whether ``request`` would have a mail sent; nothing is written to find out."""
    return _recipient(reading, email) is not None


def take_link(write: Write, actor: Actor, user: User) -> tuple[str, int]:
    """Make a link for the command line to hand over, where mail doesn't
    arrive. Anybody else who had it could take the account.

    Returns:
        The last part of the link, which can't be shown again, and until when it is good (Unix ms).

    Raises:
        Conflict: ``user_deactivated``.
    """
    if user.status != "active" or not published_rules(write, user.company).active:
        raise Conflict(f"{user.email} is deactivated.", reason="user_deactivated")
    reset_id = new_id("rst")
    now = write.now
    expires_at = now + LIFETIME_MS
    write.session.execute(
        insert(password_resets),
        {"id": reset_id, "user_id": user.id, "created_at": now, "expires_at": expires_at},
    )
    log.record(
        write,
        actor,
        "user.password_reset_link_taken",
        Subject("user", user.id, user.name),
        company=user.company,
        after={"expires_at": expires_at},
    )
    return new_link(write, password_resets, reset_id, PASSWORD_RESET), expires_at


def make_link(write: Write, reset_id: str) -> Letter | None:
    """Make the link, as the mail goes out; None if the request isn't good any more."""
    row = write.session.execute(_STORED.where(password_resets.c.id == reset_id)).one_or_none()
    if row is None or not _is_good(write, row):
        return None
    token = new_link(write, password_resets, row.id, PASSWORD_RESET)
    return Letter(row.user_name, row.company_name, row.expires_at, token)


def look(reading: Reading, token: str, address: str | None) -> Account:
    """Whose password the link sets, without using it up.

    Args:
        address: where the request comes from, as text.

    Raises:
        BrokenLink: ``password_reset_broken``, whatever is wrong with it.
        Forbidden: ``company_address_not_allowed``; it is good, but not from there.
    """
    row = _good(reading, token, address)
    return Account(
        user=row.user_id,
        email=row.email,
        name=row.user_name,
        company_name=row.company_name,
        second_factor=row.totp_sealed is not None,
        expires_at=row.expires_at,
    )


def complete(
    database: Database,
    *,
    token: str,
    password: str,
    address: str | None,
    now: Callable[[], int],
    hasher: PasswordHasher = passwords.HASHER,
) -> bool:
    """Set the new password, once. Whoever is signed in as this user is so no more, no other link of
    theirs is good, and a change of their address that waits ends. A second factor stays, and is
    asked for at the next sign-in.

    Returns:
        Whether this node decides by it already.

    Args:
        address: where the request comes from, as text.
        now: the time in Unix ms, asked anew for each transaction.

    Raises:
        BrokenLink: ``password_reset_broken``, whatever is wrong with the link.
        Forbidden: ``company_address_not_allowed``.
        InvalidInput: for ``password``; the link stays good.
        Unavailable: the database can't be used, or too many passwords are being hashed.
    """
    with database.read(now()) as reading:
        account = look(reading, token, address)
    passwords.check_rules(
        password,
        email=account.email,
        company_name=account.company_name,
        second_factor=account.second_factor,
    )
    password_hash = passwords.hash(password, hasher=hasher)
    with database.write(now()) as change:
        # Hashing took a while: what was true before it counts for nothing now. A second factor
        # that is gone by now would leave a password too short on its own.
        row = _good(change, token, address)
        passwords.check_rules(
            password,
            email=row.email,
            company_name=row.company_name,
            second_factor=row.totp_sealed is not None,
        )
        _set_password(change, row, password_hash, address)
    return change.confirmed


def end_links(write: Write, actor: Actor, user_id: str) -> None:
    """End every link of a user's that is still good: whoever has a new password, or another
    address, by other means has no use for one, but whoever reads their mail would."""
    table = password_resets.c
    good = (table.user_id == user_id) & table.used_at.is_(None) & table.deactivated_at.is_(None)
    for reset in write.session.scalars(select(table.id).where(good)).all():
        outbox.drop(write, reset)
    write.session.execute(
        update(password_resets)
        .where(good)
        .values(
            deactivated_at=write.now,
            deactivated_by=actor.user,
            deactivated_by_name=actor.name,
        )
    )


def _recipient(reading: Reading, email: str) -> Row[Any] | None:
    """The user who may be mailed a link: not one who was deactivated, nor for the fourth time
    within an hour."""
    user = latest_row(reading, email)
    if user is None or user.deactivated_at is not None:
        return None
    if not published_rules(reading, user.company_id).active:
        return None
    table = password_resets.c
    now = reading.now
    lately = select(func.count()).where(
        table.user_id == user.id,
        table.created_at > now - LIFETIME_MS,
        table.created_at <= now + AHEAD_MS,
    )
    return user if reading.session.execute(lately).scalar_one() < MOST_AN_HOUR else None


def _set_password(change: Change, row: Row[Any], password_hash: str, address: str | None) -> None:
    now = change.now
    # The link is the credential of whoever follows it.
    actor = Actor(
        "user", row.company_id, row.user_id, row.user_name, frozenset(), row.link_id, address
    )
    outbox.drop(change, row.id)
    change.session.execute(
        update(password_resets)
        .where(password_resets.c.id == row.id)
        .values(used_at=now, used_from=throttling.source_of(address))
    )
    end_links(change, actor, row.user_id)
    pending_email_changes.end_pending(change, actor, row.user_id)
    # Whoever reads the account's mail is its owner: the new password works at once.
    throttling.clear(change, row.email)
    change.session.execute(
        update(users).where(users.c.id == row.user_id).values(password_hash=password_hash)
    )
    ended = sessions.end_others(change, actor)
    log.record(
        change,
        actor,
        "user.password_reset",
        Subject("user", row.user_id, row.user_name),
        company=row.company_id,
        after={"authentications_ended": ended},
    )


def _good(reading: Reading, token: str, address: str | None) -> Row[Any]:
    row = followed(reading, _STORED, password_resets, token)
    if row is None or not _is_good(reading, row):
        raise BrokenLink(BROKEN, reason="password_reset_broken")
    require_admitted(reading, row.company_id, address)
    return row


def _is_good(reading: Reading, row: Row[Any]) -> bool:
    return (
        row.used_at is None
        and row.deactivated_at is None
        and reading.now < row.expires_at
        and row.user_deactivated_at is None
        and published_rules(reading, row.company_id).active
    )
