"""Following the link of an invitation, which creates a user.

The link is valid while its inviter is active and holds all permissions of the role. Every invalid
link is the same error, so that guessing discloses nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from argon2 import PasswordHasher
from sqlalchemy import Row, select

from gatepass.core.credentials import LOGIN_TOKEN, make
from gatepass.core.errors import BrokenLink, InvalidInput
from gatepass.registry.authentication import passwords
from gatepass.registry.authentication.session_records import Authentication, begin
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import still_holds
from gatepass.registry.grants.publishing import (
    published_holder,
    published_roles,
    published_rules,
)
from gatepass.registry.input.text import Problems, label_problem
from gatepass.registry.membership.invitations import INVITATIONS, record
from gatepass.registry.membership.single_use_links import address_holder, follower
from gatepass.registry.storage.database import Change, Database, Reading, Write
from gatepass.registry.storage.rows import record_of, update_row
from gatepass.registry.storage.tables import users as users_table


@dataclass(frozen=True, slots=True)
class Offer:
    """What a valid link offers. ``expires_at`` is Unix ms; ``role`` is a role's id."""

    email: str
    role: str
    company: str
    company_name: str
    inviter_name: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of an invitation's mail. ``token`` belongs in that mail only.

    Attributes:
        address_taken: a user of another company has the address. The link is broken as long as
            that is so.
    """

    company_name: str
    inviter_name: str
    expires_at: int
    token: str
    address_taken: bool


class Login(NamedTuple):
    """The sign-in that began with an account.

    Attributes:
        text: the login token, returned only here.
    """

    authentication: Authentication
    text: str


class Accepted(NamedTuple):
    """A new user, and their sign-in, if there was to be one.

    Attributes:
        confirmed: whether this node's copy has both already.
    """

    made: User
    login: Login | None
    confirmed: bool


def make_link(write: Write, invitation_id: str) -> Letter | None:
    """Create the link, in the transaction that sends its mail; None if it would be invalid."""
    row = INVITATIONS.find(write, invitation_id)
    if row is None or not _is_valid(write, row):
        return None
    holder = address_holder(write, row)
    if holder == "same company":
        return None
    token, taken = INVITATIONS.new_link(write, row.id), holder == "other company"
    return Letter(row.company_name, row.inviter_name, row.expires_at, token, taken)


def look(reading: Reading, token: str, address: str | None) -> Offer:
    """What a link offers, without using it up.

    Args:
        address: the request's source address, as text.

    Raises:
        BrokenLink: ``invitation_broken``, for any invalid link.
        Forbidden: ``company_address_not_allowed``; the link is valid.
    """
    row = INVITATIONS.follow(reading, token, address, _refusal)
    return record_of(Offer, row, company=row.company_id)


def may_still_invite(reading: Reading, company: str, inviter: str, role: str) -> bool:
    """Whether the role exists, and the inviter (a user's id) may still grant it."""
    granted = published_roles(reading, company).get(role)
    return granted is not None and still_holds(reading, inviter, granted)


def accept(
    database: Database,
    *,
    token: str,
    name: str,
    password: str,
    address: str | None,
    now: Callable[[], int],
    login_ms: int | None = None,
    user_agent: str | None = None,
    hasher: PasswordHasher = passwords.HASHER,
) -> Accepted:
    """Accept an invitation: create its user. Of concurrent requests, one succeeds.

    Args:
        address: the request's source address, as text.
        now: returns the time in Unix ms; called for each transaction.
        login_ms: the lifetime of a login token, to sign the new user in as well. The link and the
            allowlist were checked; a second factor that the company requires is set up next.
        user_agent: the browser, for that sign-in.

    Raises:
        BrokenLink: ``invitation_broken``, for any invalid link.
        Forbidden: ``company_address_not_allowed``.
        InvalidInput: for ``name`` or ``password``; the link stays valid.
        Unavailable: the database can't be used, or too many passwords are being hashed.
    """
    with database.read(now()) as reading:
        offer = look(reading, token, address)
    _check_fields(offer, name, password)
    password_hash = passwords.hash(password, hasher=hasher)
    with database.write(now()) as change:
        # Hashing took a while: the link is checked again under the lock.
        row = INVITATIONS.follow(change, token, address, _refusal)
        user = _create_user(change, row, name, password_hash, address)
        login = None
        if login_ms is not None:
            login = _sign_in(change, user, login_ms, address, user_agent)
    return Accepted(user, login, change.confirmed)


def _create_user(
    change: Change, row: Row[Any], name: str, password_hash: str, address: str | None
) -> User:
    user_id = users.new_user_id()
    # The new user is the actor of their own creation.
    newcomer = follower(row, user_id, name, address)
    user = users.add(
        change,
        newcomer,
        company=row.company_id,
        email=row.email,
        name=name,
        role=row.role,
        password_hash=password_hash,
        user_id=user_id,
    )
    INVITATIONS.use(change, row, accepted_by=user_id)
    record(change, newcomer, "accepted", row, after={"accepted_by": user_id})
    return user


def _sign_in(
    change: Change, user: User, lifetime_ms: int, address: str | None, user_agent: str | None
) -> Login:
    credential = make(LOGIN_TOKEN)
    record = begin(
        change,
        user,
        credential,
        lifetime_ms=lifetime_ms,
        address=address,
        user_agent=user_agent,
    )
    update_row(change, users_table, user.id, last_sign_in_at=change.now)
    return Login(record, credential.text)


def _check_fields(offer: Offer, name: str, password: str) -> None:
    problems = Problems()
    problem = label_problem(name)
    if problem is not None:
        problems.add("name", problem)
    try:
        passwords.check_rules(password, email=offer.email, company_name=offer.company_name)
    except InvalidInput as error:
        for field, message in error.errors:
            problems.add(field, message)
    problems.settle()


def _refusal(reading: Reading, row: Row[Any]) -> BrokenLink | None:
    valid, holder = _is_valid(reading, row), address_holder(reading, row)
    if valid and holder == "nobody":
        return None
    # Disclosed to the mailbox only: a link that was handed over was in the inviter's hands.
    taken = valid and holder == "other company" and row.delivered_at is not None
    return INVITATIONS.broken_link(
        contact=_contact(reading, row), company=row.company_name, address_taken=taken
    )


def _is_valid(reading: Reading, row: Row[Any]) -> bool:
    """Whether the invitation may be accepted: all conditions are checked now."""
    return (
        INVITATIONS.state(row, reading.now) == "pending"
        and published_rules(reading, row.company_id).active
        and may_still_invite(reading, row.company_id, row.invited_by, row.role)
    )


def _contact(reading: Reading, row: Row[Any]) -> str | None:
    """The name of the inviter, or of an administrator if the inviter was deactivated."""
    inviter = published_holder(reading, row.invited_by)
    if inviter is not None and inviter.active:
        return str(row.inviter_name)
    table = users_table.c
    name: str | None = reading.session.execute(
        select(table.name)
        .where(
            table.company_id == row.company_id,
            table.role == "admin",
            table.deactivated_at.is_(None),
        )
        .order_by(table.created_at, table.id)
        .limit(1)
    ).scalar_one_or_none()
    return name
