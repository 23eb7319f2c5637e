"""Password resets: a mailed link, valid for an hour, with which to set a new password.

A request discloses neither whether the account exists nor whether mail is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import Row

from gatepass.core.credentials import PASSWORD_RESET
from gatepass.core.errors import BrokenLink, Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords, sessions, throttling
from gatepass.registry.directory.users import User, get, latest_row, record, user_of
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.membership import pending_email_changes
from gatepass.registry.membership.single_use_links import HOUR_MS, LinkKind, follower, rows_of_users
from gatepass.registry.storage.database import (
    AdvisoryLock,
    Change,
    Database,
    Reading,
    Write,
    take_advisory_lock,
)
from gatepass.registry.storage.rows import record_of, update_row
from gatepass.registry.storage.tables import password_resets, users

LIFETIME_MS = HOUR_MS
#: Mails that one account gets within an hour, however often someone requests a reset.
MOST_AN_HOUR = 3

PASSWORD_RESETS = LinkKind(
    table=password_resets,
    rows=rows_of_users(
        password_resets,
        users.c.email,
        users.c.totp_sealed,
        users.c.operator,
        users.c.deactivated_at.label("user_deactivated_at"),
    ),
    id_prefix="rst",
    token_prefix=PASSWORD_RESET,
    mail="password_reset",
    broken="This password reset link is broken",
    reason="password_reset_broken",
)


@dataclass(frozen=True, slots=True)
class Account:
    """The user whose password a valid link sets. ``expires_at`` is the link's, in Unix ms."""

    user: str
    email: str
    name: str
    company_name: str
    second_factor: bool
    operator: bool
    expires_at: int


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of a password reset's mail. ``token`` belongs in that mail only."""

    user_name: str
    company_name: str
    expires_at: int
    token: str


def request(write: Write, email: str, address: str | None, *, operators_only: bool = False) -> bool:
    """Enqueue the mail with a reset link to the user with that address.

    Args:
        operators_only: only operators sign in with a password.

    Returns:
        Whether there is such a user. Never disclose it to the requester.
    """
    # Serialized by an advisory lock, so concurrent requests can't all read the same count.
    take_advisory_lock(write, AdvisoryLock.password_resets)
    user = _recipient(write, email, operators_only)
    if user is None:
        return False
    PASSWORD_RESETS.enqueue(write, _create(write, user.id))
    # The requester wasn't proven to be this user, who is therefore the subject and not the actor.
    requester = replace(Actor.system(), address=address)
    record(write, requester, "password_reset_requested", user_of(user))
    return True


def is_due(reading: Reading, email: str, *, operators_only: bool = False) -> bool:
    """Whether ``request`` would enqueue mail. Writes nothing."""
    return _recipient(reading, email, operators_only) is not None


def take_link(
    write: Write, actor: Actor, user: User, *, operators_only: bool = False
) -> tuple[str, int]:
    """Create a link for the command line to hand over, for a user without working mail.

    Anyone who has the link can take over the account.

    Args:
        operators_only: only operators sign in with a password.

    Returns:
        The link's token, which is returned only here, and its expiry (Unix ms).

    Raises:
        Conflict: ``user_deactivated``; ``oidc_required``: the link would be refused.
    """
    if operators_only and not user.operator:
        raise Conflict(
            f"{user.email} isn't an operator, and only operators sign in with a password.",
            reason="oidc_required",
        )
    if user.status != "active" or not published_rules(write, user.company).active:
        raise Conflict(f"{user.email} is deactivated.", reason="user_deactivated")
    row = _create(write, user.id)
    record(write, actor, "password_reset_link_taken", user, after={"expires_at": row.expires_at})
    return PASSWORD_RESETS.new_link(write, row.id), row.expires_at


def make_link(write: Write, reset_id: str) -> Letter | None:
    """Create the link, in the transaction that sends its mail; None if the request is invalid."""
    row = PASSWORD_RESETS.find(write, reset_id)
    if row is None or _refusal(write, row) is not None:
        return None
    token = PASSWORD_RESETS.new_link(write, row.id)
    return Letter(row.user_name, row.company_name, row.expires_at, token)


def look(reading: Reading, token: str, address: str | None) -> Account:
    """The user whose password a link sets. Doesn't use it up.

    Args:
        address: the request's source address, as text.

    Raises:
        BrokenLink: ``password_reset_broken``, for any invalid link.
        Forbidden: ``company_address_not_allowed``; the link is valid.
    """
    return _account(PASSWORD_RESETS.follow(reading, token, address, _refusal))


def complete(
    database: Database,
    *,
    token: str,
    password: str,
    address: str | None,
    now: Callable[[], int],
    hasher: PasswordHasher = passwords.HASHER,
) -> bool:
    """Set the new password, once.

    All the user's authentications and reset links are deactivated, and a pending e-mail change is
    cancelled. A second factor stays: the next sign-in requires it.

    Args:
        address: the request's source address, as text.
        now: returns the time in Unix ms; called for each transaction.

    Returns:
        Whether this node's copy has the change already.

    Raises:
        BrokenLink: ``password_reset_broken``, for any invalid link.
        Forbidden: ``company_address_not_allowed``.
        InvalidInput: for ``password``; the link stays valid.
        Unavailable: the database can't be used, or too many passwords are being hashed.
    """
    with database.read(now()) as reading:
        _check_rules(look(reading, token, address), password)
    password_hash = passwords.hash(password, hasher=hasher)
    with database.write(now()) as change:
        # Hashing took a while: everything is checked again under the lock. If the second factor was
        # removed meanwhile, the password may be too short without one.
        row = PASSWORD_RESETS.follow(change, token, address, _refusal)
        _check_rules(_account(row), password)
        _set_password(change, row, password_hash, address)
    return change.confirmed


def end_links(write: Write, actor: Actor, user_id: str) -> None:
    """Deactivate all of a user's unused links.

    Call it when the user gets a new password or another address by other means: they no longer need
    a link, but an attacker who reads their mail would use it.
    """
    PASSWORD_RESETS.end(write, actor, password_resets.c.user_id == user_id)


def _account(row: Row[Any]) -> Account:
    return record_of(
        Account,
        row,
        user=row.user_id,
        name=row.user_name,
        second_factor=row.totp_sealed is not None,
    )


def _check_rules(account: Account, password: str) -> None:
    passwords.check_rules(
        password,
        email=account.email,
        company_name=account.company_name,
        second_factor=account.second_factor,
    )


def _create(write: Write, user_id: str) -> Row[Any]:
    return PASSWORD_RESETS.create(write, lifetime_ms=LIFETIME_MS, user_id=user_id)


def _recipient(reading: Reading, email: str, operators_only: bool) -> Row[Any] | None:
    """The active user with that address, unless they got ``MOST_AN_HOUR`` mails already."""
    user = latest_row(reading, email)
    if user is None or user.deactivated_at is not None:
        return None
    if operators_only and not user.operator:
        return None
    if not published_rules(reading, user.company_id).active:
        return None
    number, _ = PASSWORD_RESETS.within_an_hour(reading, user.id)
    return user if number < MOST_AN_HOUR else None


def _set_password(change: Change, row: Row[Any], password_hash: str, address: str | None) -> None:
    actor = follower(row, row.user_id, row.user_name, address)
    PASSWORD_RESETS.use(change, row, used_from=throttling.source_of(address))
    end_links(change, actor, row.user_id)
    pending_email_changes.end_pending(change, actor, row.user_id)
    # The owner of the mailbox owns the account: earlier failures must not delay their sign-in.
    throttling.clear(change, row.email)
    update_row(change, users, row.user_id, password_hash=password_hash)
    ended = sessions.end_others(change, actor)
    user = get(change, row.user_id)
    record(change, actor, "password_reset", user, after={"authentications_ended": ended})


def _refusal(reading: Reading, row: Row[Any]) -> BrokenLink | None:
    valid = (
        PASSWORD_RESETS.state(row, reading.now) == "pending"
        and row.user_deactivated_at is None
        and published_rules(reading, row.company_id).active
    )
    return None if valid else PASSWORD_RESETS.broken_link()
