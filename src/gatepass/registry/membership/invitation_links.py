"""What an invitation's link opens: a look at the offer, and once, an account.

The link stands for its inviter's word: it counts as long as they are active and hold all that it
grants. Whatever is wrong with it is told in one sentence, so that nothing is learnt by guessing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from sqlalchemy import Row, select, update

from gatepass.core.credentials import INVITATION, new_id
from gatepass.core.errors import BrokenLink, InvalidInput
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication import passwords
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import still_holds
from gatepass.registry.grants.publishing import published_holder, published_rules
from gatepass.registry.input.text import Problems, label_problem
from gatepass.registry.membership import outbox
from gatepass.registry.membership.invitations import STORED, status_of
from gatepass.registry.membership.single_use_links import followed, new_link, require_admitted
from gatepass.registry.storage.database import Change, Committed, Database, Reading, Write
from gatepass.registry.storage.tables import invitations
from gatepass.registry.storage.tables import users as users_table

BROKEN = "This invitation link is broken"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a good link offers. ``expires_at`` is Unix ms; ``role`` is a role's id."""

    email: str
    role: str
    company: str
    company_name: str
    inviter_name: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes into an invitation's mail; ``token`` into nothing else.

    Attributes:
        address_taken: another company has a user with that address: the link opens nothing as long
            as it has.
    """

    company_name: str
    inviter_name: str
    expires_at: int
    token: str
    address_taken: bool


def make_link(write: Write, invitation_id: str) -> Letter | None:
    """Make the link, as the mail goes out; None if the invitation isn't good any more."""
    row = write.session.execute(STORED.where(invitations.c.id == invitation_id)).one_or_none()
    if row is None or not _stands(write, row):
        return None
    holder = users.by_email(write, row.email)
    if holder is not None and holder.company == row.company_id:
        return None
    token = new_link(write, invitations, row.id, INVITATION)
    return Letter(row.company_name, row.inviter_name, row.expires_at, token, holder is not None)


def look(reading: Reading, token: str, address: str | None) -> Offer:
    """See what a link offers, without using it up: mail scanners open links too.

    Args:
        address: where the request comes from, as text.

    Raises:
        BrokenLink: ``invitation_broken``, whatever is wrong with it.
        Forbidden: ``company_address_not_allowed``; it is good, but not from there.
    """
    return _offer(_good(reading, token, address))


def accept(
    database: Database,
    *,
    token: str,
    name: str,
    password: str,
    address: str | None,
    now: Callable[[], int],
    hasher: PasswordHasher = passwords.HASHER,
) -> Committed[User]:
    """Turn the invitation into a user. Of many who try at once, one succeeds.

    Args:
        address: where the request comes from, as text.
        now: the time in Unix ms, asked anew for each transaction.

    Raises:
        BrokenLink: ``invitation_broken``, whatever is wrong with the link.
        Forbidden: ``company_address_not_allowed``.
        InvalidInput: for ``name`` or ``password``; the link stays good.
        Unavailable: the database can't be used, or too many passwords are being hashed.
    """
    with database.read(now()) as reading:
        offer = look(reading, token, address)
    _check_fields(offer, name, password)
    password_hash = passwords.hash(password, hasher=hasher)
    with database.write(now()) as change:
        # Hashing took a while: what was true before it counts for nothing now.
        row = _good(change, token, address)
        user = _let_in(change, row, name, password_hash, address)
    return Committed(user, change.confirmed)


def _let_in(
    change: Change, row: Row[Any], name: str, password_hash: str, address: str | None
) -> User:
    outbox.drop(change, row.id)
    user_id = new_id("usr")
    # What a newcomer does first is to make themselves, with the link as their credential.
    newcomer = Actor("user", row.company_id, user_id, name, frozenset(), row.link_id, address)
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
    change.session.execute(
        update(invitations)
        .where(invitations.c.id == row.id)
        .values(accepted_at=change.now, accepted_by=user_id)
    )
    log.record(
        change,
        newcomer,
        "invitation.accepted",
        Subject("invitation", row.id, row.email),
        company=row.company_id,
        after={"accepted_by": user_id},
    )
    return user


def _check_fields(offer: Offer, name: str, password: str) -> None:
    problems = Problems()
    problem = label_problem(name)
    if problem is not None:
        problems.add("name", problem)
    try:
        passwords.check_rules(password, email=offer.email, company_name=offer.company_name)
    except InvalidInput as error:
        problems.errors += error.errors
    problems.settle()


def _good(reading: Reading, token: str, address: str | None) -> Row[Any]:
    row = followed(reading, STORED, invitations, token)
    if row is None:
        raise BrokenLink(BROKEN, reason="invitation_broken")
    stands = _stands(reading, row)
    holder = users.by_email(reading, row.email)
    if not stands or holder is not None:
        elsewhere = holder is not None and holder.company != row.company_id
        # Told to the mailbox alone: a link that was handed over has been in the inviter's hands.
        told = stands and elsewhere and row.delivered_at is not None
        raise BrokenLink(
            BROKEN,
            reason="invitation_broken",
            contact=_contact(reading, row),
            company=row.company_name,
            address_taken=told,
        )
    require_admitted(reading, row.company_id, address)
    return row


def _stands(reading: Reading, row: Row[Any]) -> bool:
    """Whether the offer stands: all of it looked at now, whatever was true when it was made."""
    rules = published_rules(reading, row.company_id)
    granted = rules.roles.get(row.role)
    return (
        status_of(row, reading.now) == "pending"
        and rules.active
        and granted is not None
        and still_holds(reading, row.invited_by, granted)
    )


def _contact(reading: Reading, row: Row[Any]) -> str | None:
    """The inviter, or an administrator if they have left."""
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


def _offer(row: Row[Any]) -> Offer:
    return Offer(
        email=row.email,
        role=row.role,
        company=row.company_id,
        company_name=row.company_name,
        inviter_name=row.inviter_name,
        expires_at=row.expires_at,
    )
