"""Requesting and cancelling e-mail changes: one's own, or a colleague's with ``users:manage``.

The owner of the mailbox can reset the password, and so owns the account. Therefore a new address
takes effect only when its link, mailed there, is followed (``email_change_links``). Mail to the
present address reports the request at once. A recipient who didn't want it can reset the password,
which cancels the pending change.
"""

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import Row

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, InvalidInput, OperatorEmailForbidden, TooManyAttempts
from gatepass.registry.actor import Actor
from gatepass.registry.authentication.reauthentication import Reauthentication
from gatepass.registry.directory import user_privileges, user_search, users
from gatepass.registry.directory.users import User
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.emails import read_email
from gatepass.registry.membership import invitations, outbox
from gatepass.registry.membership.pending_email_changes import (
    EMAIL_CHANGES,
    EmailChange,
    end_pending,
    pending,
    record,
)
from gatepass.registry.membership.single_use_links import HOUR_MS
from gatepass.registry.storage.database import Change, Committed, Reading, Write

REQUESTED_MAIL = "email_change_requested"
LIFETIME_MS = 24 * HOUR_MS
#: Changes of one user's address that may be requested within an hour: each sends two mails.
MOST_AN_HOUR = 5
#: How long the outbox retries the mail to the former address.
NOTICE_LIFETIME_MS = 7 * 24 * HOUR_MS


def request_own(
    reauthentication: Reauthentication,
    actor: Actor,
    *,
    email: str,
    password: str,
    begun: Callable[[Change], None] | None = None,
    then: Callable[[Change, EmailChange], None] | None = None,
) -> Committed[EmailChange]:
    """Request a change of one's own address. It replaces a pending one.

    Args:
        password: the current one, as typed.
        begun: called first in the transaction.
        then: called last in it.

    Raises:
        Repeated: *begun* let it.
        Forbidden: ``signed_in_user_required``; as ``acting`` says.
        InvalidInput: for ``email``, or for ``current_password``, which is counted.
        Conflict: ``email_taken``, ``invitation_pending``: in the same company;
            ``changed_meanwhile``: the password was.
        TooManyAttempts: too many passwords were wrong lately, or too many changes requested.
        Unavailable: the database can't be used now.
    """
    actor.require_user()
    email = read_email("email", email)

    def begin(change: Change, actor: Actor, row: Row[Any]) -> EmailChange:
        made = _begin(change, actor, users.user_of(row), email)
        if then is not None:
            then(change, made)
        return made

    return reauthentication.change(actor, begin, password=password, begun=begun)


def request(
    change: Change,
    actor: Actor,
    user_id: str,
    *,
    email: str,
    if_match: Collection[str] | None = None,
) -> EmailChange:
    """Request a change of a colleague's address. It replaces a pending one.

    Args:
        if_match: the accepted versions (``users.etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``, or without a permission
            of the user's role; ``operator_required``.
        NotFound: there is none, or it is another company's.
        InvalidInput: for ``email``.
        Conflict: ``own_email``: one's own requires the password; ``changed_meanwhile``, with the
            ``current`` record; ``user_deactivated``; ``email_taken`` and ``invitation_pending`` in
            the same company.
        TooManyAttempts: too many changes were requested lately.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = changeable(change, actor, user_id)
    users.require_unchanged(user, if_match)
    return _begin(change, actor, user, read_email("email", email))


def changeable(reading: Reading, actor: Actor, user_id: str) -> User:
    """The colleague, if the actor may request a change of their address.

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
    user_privileges.require_not_above(reading, actor, user)
    if user.operator:
        # Refused to other operators, too: the owner of the mailbox can reset the password.
        raise OperatorEmailForbidden(
            f"{isolated(user.name)} is an operator: only they and the command line may change "
            "their e-mail address."
        )
    user_privileges.require_active(user, "their e-mail address")
    return user


def cancel_own(change: Change, actor: Actor) -> User:
    """Cancel the pending change of one's own address, including a colleague's request. Idempotent.

    Raises:
        Forbidden: ``signed_in_user_required`` for anything but a login token.
    """
    actor = acting(change, actor, own_account=True)
    end_pending(change, actor, str(actor.user))
    return users.get(change, str(actor.user))


def cancel(change: Change, actor: Actor, user_id: str) -> User:
    """Cancel the pending change of a colleague's address. Idempotent.

    Raises:
        Forbidden, NotFound, Conflict: as ``request`` says.
    """
    actor = acting(change, actor, "users:manage", person=True)
    user = changeable(change, actor, user_id)
    end_pending(change, actor, user.id)
    return user


def insert(write: Write, actor: Actor, user: User, email: str) -> Row[Any]:
    """Insert the record of a change, in place of a pending one. Performs no permission check."""
    end_pending(write, actor, user.id)
    return EMAIL_CHANGES.create(
        write,
        lifetime_ms=LIFETIME_MS,
        user_id=user.id,
        former_email=user.email,
        email=email,
        requested_by=actor.user,
        requested_by_name=actor.name,
    )


def notify_former_address(write: Write, kind: str, change_id: str, user: User) -> None:
    """Enqueue mail of *kind* to the present address of *user*.

    The mail's subject is not the change's id alone, like the link's: dropping the mail with the
    link must not drop this one.
    """
    outbox.enqueue(
        write,
        kind=kind,
        subject=f"{kind}:{change_id}",
        company=user.company,
        recipient=user.email,
        expires_at=write.now + NOTICE_LIFETIME_MS,
    )


def require_other(user: User, email: str) -> None:
    """Raise InvalidInput if *email* is the user's present address, compared exactly."""
    if email == user.email:
        raise InvalidInput([("email", "Must be another address than the present one.")])


def _begin(write: Write, actor: Actor, user: User, email: str) -> EmailChange:
    require_other(user, email)
    invitations.require_free(write, user.company, email, user=user.id)
    number, first = EMAIL_CHANGES.within_an_hour(write, user.id)
    if first is not None and number >= MOST_AN_HOUR:
        wait_s = max(1, -((write.now - HOUR_MS - first) // 1000))
        raise TooManyAttempts(wait_s, "Too many changes were requested for this user.")
    row = insert(write, actor, user, email)
    EMAIL_CHANGES.enqueue(write, row)
    notify_former_address(write, REQUESTED_MAIL, row.id, user)
    record(write, actor, "requested", user, email)
    made = pending(write, user.id)
    assert made is not None
    return made
