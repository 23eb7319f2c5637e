"""Invitations: an administrator asks someone in, and may ask again or think better of it.

What the link in the mail opens is ``invitation_links``'s.
"""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, select, tuple_, update

from gatepass.core.credentials import INVITATION, new_id
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import users
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.emails import fold_email, read_email
from gatepass.registry.input.text import storable
from gatepass.registry.membership import outbox
from gatepass.registry.membership.outbox import Undelivered
from gatepass.registry.membership.single_use_links import new_link
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.tables import companies, invitations
from gatepass.registry.storage.tables import users as users_table

MAIL_KIND = "invitation"

Status = Literal["pending", "accepted", "expired", "deactivated"]

#: Invitations with their inviters' and companies' names.
STORED = (
    select(
        invitations,
        users_table.c.name.label("inviter_name"),
        companies.c.name.label("company_name"),
    )
    .join(users_table, users_table.c.id == invitations.c.invited_by)
    .join(companies, companies.c.id == invitations.c.company_id)
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """One invitation, without its link. Times are Unix ms.

    Attributes:
        role: a role's id.
        invited_by: who vouches for it: whoever made it, or sent it again last.
        delivered_at: when the mail server took the mail; None as long as that isn't known.
        mail: how it stands with the mail otherwise; None if there is none to send any more.
    """

    id: str
    company: str
    email: str
    role: str
    status: Status
    created_at: int
    expires_at: int
    invited_by: Person
    delivered_at: int | None
    mail: Undelivered | None

    @property
    def delivery_trouble(self) -> str | None:
        """What went wrong with the mail last, in a sentence."""
        return None if self.mail is None else self.mail.trouble


def create(change: Change, actor: Actor, *, email: str, role: str, lifetime_ms: int) -> Invitation:
    """Invite *email* into the actor's company. The mail goes out afterwards.

    Args:
        role: the id of the role they will have.
        lifetime_ms: how long the link is good for, from now.

    Raises:
        Forbidden: without ``users:manage``, or without something that the role grants.
        InvalidInput: for ``email`` or ``role``.
        Conflict: ``email_taken``: the company has an active user with that address;
            ``invitation_pending``: it has invited it already. That another company has a user with
            that address is told to whoever gets the mail, and to nobody else.
    """
    actor = acting(change, actor, "users:manage", person=True)
    inviter, company = _inviter(actor)
    email = read_email("email", email)
    users.require_grantable(change, actor, company, role)
    require_free(change, company, email)
    now = change.now
    invitation_id = new_id("inv")
    change.session.execute(
        insert(invitations),
        {
            "id": invitation_id,
            "company_id": company,
            "email": email,
            "email_folded": fold_email(email),
            "role": role,
            "invited_by": inviter,
            "created_at": now,
            "expires_at": now + lifetime_ms,
        },
    )
    row = _find(change, actor, invitation_id)
    _send(change, row)
    _record(change, actor, "created", row, after={"email": email, "role": role})
    return _invitation(change, row)


def get(reading: Reading, actor: Actor, invitation_id: str) -> Invitation:
    """One invitation.

    Raises:
        Forbidden: without ``users:manage``.
        NotFound: there is none of that id in the company.
    """
    actor.require("users:manage")
    return _invitation(reading, _find(reading, actor, invitation_id))


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[Invitation]:
    """The company's invitations, newest first.

    Raises:
        Forbidden: without ``users:manage``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require("users:manage")
    after, limit = read_cursor(cursor), read_limit(limit)
    table = invitations.c
    wanted: list[Any] = []
    if actor.company is not None:
        wanted.append(table.company_id == actor.company)
    if after is not None:
        wanted.append(tuple_(table.created_at, table.id) < tuple_(after.number, after.id))
    rows = reading.session.execute(
        STORED.where(*wanted).order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
    ).all()
    page = rows[:limit]
    more = str(Cursor(page[-1].created_at, page[-1].id)) if len(rows) > limit else None
    waiting = outbox.undelivered(reading, [row.id for row in page])
    return Page([_record_of(row, reading.now, waiting.get(row.id)) for row in page], more)


def resend(change: Change, actor: Actor, invitation_id: str, *, lifetime_ms: int) -> Invitation:
    """Send a new link, good for *lifetime_ms* from now. The old one is dead at once.

    Whoever sends it again vouches for it from now on: so an invitation whose inviter has left is
    good again once somebody else sends it.

    Raises:
        Forbidden: without ``users:manage``, or without something that the role grants.
        NotFound: there is none of that id in the company.
        Conflict: ``invitation_ended``: it was accepted or deactivated; ``role_gone``;
            ``email_taken`` and ``invitation_pending`` as for a new one.
    """
    actor = acting(change, actor, "users:manage", person=True)
    before, row = _renew(change, actor, invitation_id, lifetime_ms)
    _send(change, row)
    _record(change, actor, "resent", row, before=before, after=_validity(row))
    return _invitation(change, row)


def take_link(
    change: Change, actor: Actor, invitation_id: str, *, lifetime_ms: int, mail_server: bool
) -> tuple[Invitation, str]:
    """Make a link for the actor to hand over, where there is no mail server to send one.

    In all else this is ``resend``: the link is good for *lifetime_ms* from now, the old one is dead
    at once, and the actor vouches for the invitation.

    Args:
        mail_server: whether mail goes out. Then only the invited mailbox gets a link: whoever else
            had it could take the account under that address.

    Returns:
        The invitation, and the last part of the link; it can't be shown again.

    Raises:
        Conflict: ``link_goes_by_mail``, with a mail server; and as for ``resend``.
        Forbidden, NotFound: as for ``resend``.
    """
    actor = acting(change, actor, "users:manage", person=True)
    before, row = _renew(change, actor, invitation_id, lifetime_ms)
    if mail_server:
        raise Conflict(
            "The link goes to the invited address by mail. Resend it.", reason="link_goes_by_mail"
        )
    _send(change, row, in_person=True)
    token = new_link(change, invitations, row.id, INVITATION)
    _record(change, actor, "link_taken", row, before=before, after=_validity(row))
    return _invitation(change, row), token


def deactivate(change: Change, actor: Actor, invitation_id: str) -> Invitation:
    """End an invitation for good; its link is dead at once. Repeating it changes nothing.

    Raises:
        Forbidden: without ``users:manage``.
        NotFound: there is none of that id in the company.
        Conflict: ``invitation_ended``: it was accepted; then there is a user to deactivate.
    """
    actor = acting(change, actor, "users:manage", person=True)
    _inviter(actor)
    row = _find(change, actor, invitation_id)
    if row.accepted_at is not None:
        raise Conflict("This invitation is accepted already.", reason="invitation_ended")
    if row.deactivated_at is None:
        now = change.now
        outbox.drop(change, row.id)
        change.session.execute(
            update(invitations)
            .where(invitations.c.id == row.id)
            .values(deactivated_at=now, deactivated_by=actor.user, deactivated_by_name=actor.name)
        )
        row = _find(change, actor, invitation_id)
        _record(
            change,
            actor,
            "deactivated",
            row,
            before={"deactivated_at": None},
            after={"deactivated_at": now},
        )
    return _invitation(change, row)


def mail_delivered(write: Write, invitation_id: str, *, demo: bool) -> None:
    """Note that the mail server has taken the mail with the link; in the demo, its mail page."""
    now = write.now
    write.session.execute(
        update(invitations).where(invitations.c.id == invitation_id).values(delivered_at=now)
    )
    row = _find(write, Actor.system(), invitation_id)
    after = {"delivered_at": now} | ({"demo": True} if demo else {})
    _record(write, Actor.system(), "delivered", row, after=after)


def status_of(row: Row[Any], now: int) -> Status:
    """What has become of it at *now* (Unix ms)."""
    if row.accepted_at is not None:
        return "accepted"
    if row.deactivated_at is not None:
        return "deactivated"
    return "pending" if now < row.expires_at else "expired"


def _renew(
    change: Change, actor: Actor, invitation_id: str, lifetime_ms: int
) -> tuple[dict[str, Any], Row[Any]]:
    """Make the invitation good for *lifetime_ms* from now, on the actor's word and without a link.

    Returns:
        The validity it had before, and its row.
    """
    inviter, _ = _inviter(actor)
    row = _find(change, actor, invitation_id)
    now = change.now
    status = status_of(row, now)
    if status in ("accepted", "deactivated"):
        raise Conflict(f"This invitation is {status} already.", reason="invitation_ended")
    try:
        users.require_grantable(change, actor, row.company_id, row.role)
    except InvalidInput:
        raise Conflict(
            "The role it was for is gone. Make a new invitation.", reason="role_gone"
        ) from None
    require_free(change, row.company_id, row.email, but=row.id)
    before = _validity(row)
    outbox.drop(change, row.id)
    change.session.execute(
        update(invitations)
        .where(invitations.c.id == row.id)
        .values(
            invited_by=inviter,
            expires_at=now + lifetime_ms,
            link_id=None,
            link_digest=None,
            delivered_at=None,
        )
    )
    return before, _find(change, actor, invitation_id)


def _validity(row: Row[Any]) -> dict[str, Any]:
    return {"expires_at": row.expires_at, "invited_by": row.invited_by}


def require_free(
    reading: Reading, company: str, email: str, *, but: str = "", user: str = ""
) -> None:
    """See to it that nobody of the company has *email*, or is invited to.

    What other companies have is no matter, and makes no difference in time either: a company must
    not find out who is another's.

    Args:
        but: an invitation that doesn't count.
        user: a user who doesn't.

    Raises:
        Conflict: ``email_taken``, ``invitation_pending``.
    """
    holder = users.by_email(reading, email)
    table = invitations.c
    pending = reading.session.execute(
        select(table.id)
        .where(
            table.email_folded == fold_email(email),
            table.company_id == company,
            table.id != but,
            table.accepted_at.is_(None),
            table.deactivated_at.is_(None),
            table.expires_at > reading.now,
        )
        .limit(1)
    ).first()
    if holder is not None and holder.company == company and holder.id != user:
        raise Conflict(f"{email} has an account already.", reason="email_taken")
    if pending is not None:
        raise Conflict(
            f"{email} is invited already. You can send that invitation again.",
            reason="invitation_pending",
        )


def _inviter(actor: Actor) -> tuple[str, str]:
    """The actor's id and their company's."""
    if actor.user is None or actor.company is None:
        # An invitation is somebody's: it counts as long as that person holds what it grants.
        raise Forbidden(
            "Only a signed-in user can send invitations.", reason="signed_in_user_required"
        )
    return actor.user, actor.company


def _send(write: Write, row: Row[Any], *, in_person: bool = False) -> None:
    outbox.enqueue(
        write,
        kind=MAIL_KIND,
        subject=row.id,
        company=row.company_id,
        recipient=row.email,
        expires_at=row.expires_at,
        in_person=in_person,
    )


def _find(reading: Reading, actor: Actor, invitation_id: str) -> Row[Any]:
    wanted = [invitations.c.id == invitation_id]
    if actor.company is not None:
        wanted.append(invitations.c.company_id == actor.company)
    fit = storable(invitation_id)
    row = reading.session.execute(STORED.where(*wanted)).one_or_none() if fit else None
    if row is None:
        raise NotFound("There is no such invitation.")
    return row


def _record(
    write: Write,
    actor: Actor,
    verb: str,
    row: Row[Any],
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any],
) -> None:
    subject = Subject("invitation", row.id, row.email)
    log.record(
        write,
        actor,
        f"invitation.{verb}",
        subject,
        company=row.company_id,
        before=before,
        after=after,
    )


def _invitation(reading: Reading, row: Row[Any]) -> Invitation:
    waiting = outbox.undelivered(reading, [row.id])
    return _record_of(row, reading.now, waiting.get(row.id))


def _record_of(row: Row[Any], now: int, waiting: Undelivered | None) -> Invitation:
    return Invitation(
        id=row.id,
        company=row.company_id,
        email=row.email,
        role=row.role,
        status=status_of(row, now),
        created_at=row.created_at,
        expires_at=row.expires_at,
        invited_by=Person(row.invited_by, row.inviter_name),
        delivered_at=row.delivered_at,
        mail=waiting,
    )
