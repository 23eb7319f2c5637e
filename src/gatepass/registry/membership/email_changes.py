"""Changing e-mail addresses: one's own with the password, a colleague's with ``users:manage``.

A password reset goes to the address, so whoever has the address has the account. Therefore the new
one counts only once the link that was mailed there was used (``email_change_links``), and the old
one is told at once, with what to do if nobody there wanted it: setting a new password, through a
link to the old address, ends whatever change waits.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, func, insert, select

from gatepass.core.credentials import new_id
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, InvalidInput, OperatorEmailForbidden, TooManyAttempts
from gatepass.registry.actor import Actor
from gatepass.registry.authentication.reauthentication import Proving
from gatepass.registry.directory import user_search, users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.emails import read_email
from gatepass.registry.membership import invitations, outbox, user_changes
from gatepass.registry.membership.pending_email_changes import (
    EmailChange,
    end_pending,
    pending,
    record,
)
from gatepass.registry.storage.database import Change, Committed, Reading, Write
from gatepass.registry.storage.database_time import AHEAD_MS
from gatepass.registry.storage.tables import email_changes

LINK_MAIL = "email_change"
REQUESTED_MAIL = "email_change_requested"
LIFETIME_MS = 24 * 3_600_000
#: Nobody is mailed more often than this within an hour because one user's address is to change.
MOST_AN_HOUR = 5
#: How long it is worth trying to tell the old address.
NOTICE_LIFETIME_MS = 7 * 24 * 3_600_000

_HOUR_MS = 3_600_000


def request_own(
    proving: Proving, actor: Actor, *, email: str, password: str
) -> Committed[EmailChange]:
    """Have one's own address changed, once the link that is mailed to the new one was used.

    A change that waits already ends.

    Args:
        password: the current one, as typed.

    Raises:
        Forbidden: ``signed_in_user_required``, or the actor has ended meanwhile.
        InvalidInput: for ``email``, or for ``current_password``, which is counted.
        Conflict: ``email_taken``, ``invitation_pending``: by somebody of the company;
            ``changed_meanwhile``: the password was.
        TooManyAttempts: too many passwords were wrong lately, or too many changes asked for.
        Unavailable: the database can't be used now.
    """
    actor.require_user()
    email = read_email("email", email)

    def begin(write: Write, actor: Actor, row: Row[Any]) -> EmailChange:
        return _begin(write, actor, users.user_of(row), email)

    return proving.proven(actor, begin, password=password)


def request(
    change: Change,
    actor: Actor,
    user_id: str,
    *,
    email: str,
    if_match: Collection[str] | None = None,
) -> EmailChange:
    """Have a colleague's address changed, once the link that is mailed to the new one was used.

    A change that waits already ends.

    Args:
        if_match: the versions (``user_changes.etag``) it may be changed from; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without something that
            the user's role grants; ``operator_required``.
        NotFound: there is none, or it is another company's.
        InvalidInput: for ``email``.
        Conflict: ``own_email``: one's own takes the password; ``changed_meanwhile``, with the
            ``current`` record; ``user_deactivated``; ``email_taken`` and ``invitation_pending`` by
            somebody of the company.
        TooManyAttempts: too many changes were asked for lately.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = changeable(change, actor, user_id)
    user_changes.require_unchanged(user, if_match)
    return _begin(change, actor, user, read_email("email", email))


def changeable(reading: Reading, actor: Actor, user_id: str) -> User:
    """The colleague, if the actor may have their address changed.

    Raises:
        Forbidden, NotFound, Conflict: as ``request`` says.
    """
    actor.require_signed_in()
    actor.require("users:manage")
    user = user_search.find(reading, actor, user_id)
    if user.id == actor.user:
        raise Conflict(
            "Your own e-mail address is changed in My account, with your password.",
            reason="own_email",
            current=user,
        )
    user_changes.require_not_above(reading, actor, user)
    if user.operator:
        # Not even by another operator: who has the mailbox can set a new password.
        raise OperatorEmailForbidden(
            f"{isolated(user.name)} is an operator: only they and the command line may change "
            "their e-mail address."
        )
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated: their e-mail address stays as it is.",
            reason="user_deactivated",
            current=user,
        )
    return user


def cancel_own(change: Change, actor: Actor) -> User:
    """End the change of one's own address that waits, whoever asked for it. Repeating it changes
    nothing.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
    """
    actor = acting(change, actor, own_account=True)
    end_pending(change, actor, str(actor.user))
    return users.get(change, str(actor.user))


def cancel(change: Change, actor: Actor, user_id: str) -> User:
    """End the change of a colleague's address that waits. Repeating it changes nothing.

    Raises:
        Forbidden, NotFound, Conflict: as ``request`` says.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = changeable(change, actor, user_id)
    end_pending(change, actor, user.id)
    return user


def keep(write: Write, actor: Actor, user: User, email: str) -> str:
    """Keep what is to become of a user's address, in place of what waited; the record's id."""
    end_pending(write, actor, user.id)
    now = write.now
    change_id = new_id("eml")
    write.session.execute(
        insert(email_changes),
        {
            "id": change_id,
            "user_id": user.id,
            "former_email": user.email,
            "email": email,
            "requested_by": actor.user,
            "requested_by_name": actor.name,
            "created_at": now,
            "expires_at": now + LIFETIME_MS,
        },
    )
    return change_id


def tell_former_address(write: Write, kind: str, change_id: str, user: User) -> None:
    """Have mail sent to the address that *user* has now. Whatever becomes of the change, it goes
    out: so it isn't about the change's own id, like the link, but about *kind* and that."""
    outbox.enqueue(
        write,
        kind=kind,
        subject=f"{kind}:{change_id}",
        company=user.company,
        recipient=user.email,
        expires_at=write.now + NOTICE_LIFETIME_MS,
    )


def require_other(user: User, email: str) -> None:
    """Raise InvalidInput if *email* is the address that the user has already, letter by letter."""
    if email == user.email:
        raise InvalidInput([("email", "Must be another address than the present one.")])


def _begin(write: Write, actor: Actor, user: User, email: str) -> EmailChange:
    require_other(user, email)
    invitations.require_free(write, user.company, email, user=user.id)
    _require_few(write, user)
    change_id = keep(write, actor, user, email)
    outbox.enqueue(
        write,
        kind=LINK_MAIL,
        subject=change_id,
        company=user.company,
        recipient=email,
        expires_at=write.now + LIFETIME_MS,
    )
    tell_former_address(write, REQUESTED_MAIL, change_id, user)
    record(write, actor, "requested", user, email)
    made = pending(write, user.id)
    assert made is not None
    return made


def _require_few(reading: Reading, user: User) -> None:
    now = reading.now
    table = email_changes.c
    lately = select(func.count(), func.min(table.created_at)).where(
        table.user_id == user.id,
        table.created_at > now - _HOUR_MS,
        table.created_at <= now + AHEAD_MS,
    )
    number, first = reading.session.execute(lately).one()
    if number >= MOST_AN_HOUR:
        wait_s = max(1, -((now - _HOUR_MS - first) // 1000))
        raise TooManyAttempts(wait_s, "Too many changes were requested for this user.")
