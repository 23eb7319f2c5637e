"""What the link at a new e-mail address opens: once, the change itself.

The link proves that mail arrives there, and nothing else. Whoever is to have the new address was
settled when the change was asked for, and is looked at again: somebody who asked for a colleague
must still be one who may.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, update

from gatepass.core.credentials import EMAIL_CHANGE
from gatepass.core.display_text import isolated
from gatepass.core.errors import BrokenLink, Conflict
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.users import User, by_email, get
from gatepass.registry.grants.authorization import still_holds
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.input.emails import fold_email, read_email
from gatepass.registry.membership import email_changes, invitations, password_resets
from gatepass.registry.membership.single_use_links import followed, new_link, require_admitted
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.tables import companies
from gatepass.registry.storage.tables import email_changes as table
from gatepass.registry.storage.tables import users as users_table

BROKEN = "This e-mail address link is broken"
CHANGED_MAIL = "email_changed"

_STORED = (
    select(
        table,
        users_table.c.company_id,
        users_table.c.name.label("user_name"),
        companies.c.name.label("company_name"),
    )
    .join(users_table, users_table.c.id == table.c.user_id)
    .join(companies, companies.c.id == users_table.c.company_id)
)


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes into the mails about a change.

    Attributes:
        requester_name: who asked for it; None for the user themself.
        by_command_line: it was made at once, by whoever runs the server.
    """

    user_name: str
    company_name: str
    email: str
    requester_name: str | None
    by_command_line: bool


@dataclass(frozen=True, slots=True)
class LetterWithLink:
    """What goes into the mail to the new address; ``token`` into nothing else.

    Attributes:
        address_taken: another company has a user with that address: the link opens nothing as long
            as it has.
    """

    letter: Letter
    expires_at: int
    token: str
    address_taken: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What a good link does. ``expires_at`` is its own, in Unix ms."""

    letter: Letter
    expires_at: int


def make_link(write: Write, change_id: str) -> LetterWithLink | None:
    """Make the link, as the mail goes out; None if the change isn't good any more."""
    row = write.session.execute(_STORED.where(table.c.id == change_id)).one_or_none()
    if row is None or not _stands(write, row):
        return None
    holder = by_email(write, row.email)
    if holder is not None and holder.id != row.user_id and holder.company == row.company_id:
        return None
    return LetterWithLink(
        letter=_letter(row),
        expires_at=row.expires_at,
        token=new_link(write, table, row.id, EMAIL_CHANGE),
        address_taken=holder is not None and holder.id != row.user_id,
    )


def notice(reading: Reading, subject: str) -> Letter | None:
    """What the mail to the former address tells.

    Args:
        subject: as ``email_changes.tell_former_address`` named it.
    """
    change_id = subject.rpartition(":")[2]
    row = reading.session.execute(_STORED.where(table.c.id == change_id)).one_or_none()
    return None if row is None else _letter(row)


def look(reading: Reading, token: str, address: str | None) -> Offer:
    """See what a link does, without using it up: mail scanners open links too.

    Args:
        address: where the request comes from, as text.

    Raises:
        BrokenLink: ``email_change_broken``, whatever is wrong with it.
        Forbidden: ``company_address_not_allowed``; it is good, but not from there.
    """
    row = _good(reading, token, address)
    return Offer(_letter(row), row.expires_at)


def use(write: Write, token: str, address: str | None) -> User:
    """Change the address, once. Sign-ins and the second factor stay; links to set a new password
    that went to the former address end.

    Args:
        address: where the request comes from, as text.

    Raises:
        BrokenLink: ``email_change_broken``, whatever is wrong with the link.
        Forbidden: ``company_address_not_allowed``.
    """
    row = _good(write, token, address)
    # The link is the credential of whoever follows it.
    actor = Actor(
        "user", row.company_id, row.user_id, row.user_name, frozenset(), row.link_id, address
    )
    return _change(write, actor, get(write, row.user_id), row.id, row.email)


def change_at_once(write: Write, actor: Actor, user_id: str, email: str) -> User:
    """Change an address without a link: on the server, for someone who reads no mail any more.

    The former address is told.

    Raises:
        Forbidden: ``operator_required`` for anyone but the command line.
        NotFound: there is no such user.
        InvalidInput: for ``email``.
        Conflict: ``user_deactivated``; ``email_taken``: by an active user of any company;
            ``invitation_pending``: by an invitation of the same one.
    """
    if actor.kind != "command line":
        actor.require_operator()
    user = get(write, user_id)
    email = read_email("email", email)
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated: their e-mail address stays as it is.",
            reason="user_deactivated",
        )
    email_changes.require_other(user, email)
    holder = by_email(write, email)
    if holder is not None and holder.id != user.id:
        raise Conflict(f"{email} has an account already.", reason="email_taken")
    invitations.require_free(write, user.company, email, user=user.id)
    return _change(write, actor, user, email_changes.keep(write, actor, user, email), email)


def _change(write: Write, actor: Actor, user: User, change_id: str, email: str) -> User:
    write.session.execute(update(table).where(table.c.id == change_id).values(used_at=write.now))
    write.session.execute(
        update(users_table)
        .where(users_table.c.id == user.id)
        .values(email=email, email_folded=fold_email(email))
    )
    password_resets.end_links(write, actor, user.id)
    email_changes.tell_former_address(write, CHANGED_MAIL, change_id, user)
    log.record(
        write,
        actor,
        "user.email_changed",
        Subject("user", user.id, user.name),
        company=user.company,
        before={"email": user.email},
        after={"email": email},
    )
    return get(write, user.id)


def _good(reading: Reading, token: str, address: str | None) -> Row[Any]:
    row = followed(reading, _STORED, table, token)
    if row is None:
        raise BrokenLink(BROKEN, reason="email_change_broken")
    stands = _stands(reading, row)
    holder = by_email(reading, row.email)
    if not stands or (holder is not None and holder.id != row.user_id):
        raise BrokenLink(
            BROKEN,
            reason="email_change_broken",
            company=row.company_name,
            address_taken=stands and holder is not None and holder.company != row.company_id,
        )
    require_admitted(reading, row.company_id, address)
    return row


def _stands(reading: Reading, row: Row[Any]) -> bool:
    """Whether the change stands: all of it looked at now, whatever was true when it was made."""
    user = get(reading, row.user_id)
    rules = published_rules(reading, user.company)
    return (
        row.used_at is None
        and row.deactivated_at is None
        and reading.now < row.expires_at
        and user.status == "active"
        and rules.active
        and user.email == row.former_email
        and (row.requested_by == user.id or _still_may(reading, row.requested_by, user))
    )


def _still_may(reading: Reading, requester: str, user: User) -> bool:
    """Whether somebody may still have this colleague's address changed."""
    granted = published_rules(reading, user.company).roles.get(user.role, frozenset())
    return not user.operator and still_holds(reading, requester, {"users:manage", *granted})


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        user_name=row.user_name,
        company_name=row.company_name,
        email=row.email,
        requester_name=None if row.requested_by == row.user_id else row.requested_by_name,
        by_command_line=row.requested_by is None,
    )
