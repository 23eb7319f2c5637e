"""Following the link of an e-mail change, which changes the address.

The link proves only that its follower receives mail at the new address. So the permissions of the
requester are checked again: a colleague who requested the change must still be allowed to.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from gatepass.core.errors import BrokenLink, Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.directory.user_privileges import require_active
from gatepass.registry.directory.users import User, by_email, get, record, write_email
from gatepass.registry.input.emails import read_email
from gatepass.registry.membership import email_changes, invitations, password_resets
from gatepass.registry.membership.pending_email_changes import EMAIL_CHANGES, is_valid
from gatepass.registry.membership.single_use_links import address_holder, follower
from gatepass.registry.storage.database import Reading, Write

CHANGED_MAIL = "email_changed"


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of the mails about a change.

    Attributes:
        requester_name: None if the user requested it.
        by_command_line: the command line changed the address, without a link.
    """

    user_name: str
    company_name: str
    email: str
    requester_name: str | None
    by_command_line: bool


@dataclass(frozen=True, slots=True)
class LetterWithLink:
    """The content of the mail to the new address. ``token`` belongs in that mail only.

    Attributes:
        address_taken: a user of another company has the address. The link is broken as long as
            that is so.
    """

    letter: Letter
    expires_at: int
    token: str
    address_taken: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """What a valid link does. ``expires_at`` is the link's, in Unix ms."""

    letter: Letter
    expires_at: int


def make_link(write: Write, change_id: str) -> LetterWithLink | None:
    """Create the link, in the transaction that sends its mail; None if the change is invalid."""
    row = EMAIL_CHANGES.find(write, change_id)
    if row is None or not is_valid(write, row):
        return None
    holder = address_holder(write, row, row.user_id)
    if holder == "same company":
        return None
    token = EMAIL_CHANGES.new_link(write, row.id)
    return LetterWithLink(_letter(row), row.expires_at, token, holder == "other company")


def notice(reading: Reading, subject: str) -> Letter | None:
    """The content of the mail to the former address.

    Args:
        subject: the mail's, from ``email_changes.notify_former_address``.
    """
    row = EMAIL_CHANGES.find(reading, subject.rpartition(":")[2])
    return None if row is None else _letter(row)


def look(reading: Reading, token: str, address: str | None) -> Offer:
    """What a link does, without using it up.

    Args:
        address: the request's source address, as text.

    Raises:
        BrokenLink: ``email_change_broken``, for any invalid link.
        Forbidden: ``company_address_not_allowed``; the link is valid.
    """
    row = EMAIL_CHANGES.follow(reading, token, address, _refusal)
    return Offer(_letter(row), row.expires_at)


def use(write: Write, token: str, address: str | None) -> User:
    """Change the address, once. Authentications and the second factor stay.

    Password reset links that went to the former address are deactivated.

    Args:
        address: the request's source address, as text.

    Raises:
        BrokenLink: ``email_change_broken``, for any invalid link.
        Forbidden: ``company_address_not_allowed``.
    """
    row = EMAIL_CHANGES.follow(write, token, address, _refusal)
    actor = follower(row, row.user_id, row.user_name, address)
    return _change(write, actor, get(write, row.user_id), row)


def change_at_once(write: Write, actor: Actor, user_id: str, email: str) -> User:
    """Change an address without a link, from the command line, for a user who lost their mailbox.

    Mail reports it to the former address.

    Raises:
        Forbidden: ``operator_required`` for anyone but the command line.
        NotFound: there is no such user.
        InvalidInput: for ``email``.
        Conflict: ``user_deactivated``; ``email_taken``: by an active user of any company;
            ``invitation_pending``: in the same company.
    """
    if actor.kind != "command line":
        actor.require_operator()
    user = get(write, user_id)
    email = read_email("email", email)
    require_active(user, "their e-mail address")
    email_changes.require_other(user, email)
    holder = by_email(write, email)
    if holder is not None and holder.id != user.id:
        raise Conflict(f"{email} already has an account.", reason="email_taken")
    invitations.require_free(write, user.company, email, user=user.id)
    return _change(write, actor, user, email_changes.insert(write, actor, user, email))


def _change(write: Write, actor: Actor, user: User, row: Row[Any]) -> User:
    EMAIL_CHANGES.use(write, row)
    write_email(write, user, row.email)
    password_resets.end_links(write, actor, user.id)
    email_changes.notify_former_address(write, CHANGED_MAIL, row.id, user)
    before, after = {"email": user.email}, {"email": row.email}
    record(write, actor, "email_changed", user, before=before, after=after)
    return get(write, user.id)


def _refusal(reading: Reading, row: Row[Any]) -> BrokenLink | None:
    valid, holder = is_valid(reading, row), address_holder(reading, row, row.user_id)
    if valid and holder == "nobody":
        return None
    taken = valid and holder == "other company"
    return EMAIL_CHANGES.broken_link(company=row.company_name, address_taken=taken)


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        user_name=row.user_name,
        company_name=row.company_name,
        email=row.email,
        requester_name=None if row.requested_by == row.user_id else row.requested_by_name,
        by_command_line=row.requested_by is None,
    )
