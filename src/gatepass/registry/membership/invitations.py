"""Invitations: creating, listing, resending and deactivating them.

``invitation_links`` follows their links.
"""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, select

from gatepass.core.credentials import INVITATION
from gatepass.core.errors import Conflict, Forbidden, InvalidInput
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import users
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.emails import fold_email, read_email
from gatepass.registry.membership import outbox
from gatepass.registry.membership.outbox import Undelivered
from gatepass.registry.membership.single_use_links import LinkKind
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.paging import COUNT_LIMIT, Page, newest_first
from gatepass.registry.storage.rows import find, of_company, record_of, update_row
from gatepass.registry.storage.tables import companies, invitations
from gatepass.registry.storage.tables import users as users_table

Status = Literal["pending", "accepted", "expired", "deactivated"]

INVITATIONS = LinkKind(
    table=invitations,
    rows=select(
        invitations,
        users_table.c.name.label("inviter_name"),
        companies.c.name.label("company_name"),
    )
    .join(users_table, users_table.c.id == invitations.c.invited_by)
    .join(companies, companies.c.id == invitations.c.company_id),
    id_prefix="inv",
    token_prefix=INVITATION,
    mail="invitation",
    broken="This invitation link is broken",
    reason="invitation_broken",
    used_at="accepted_at",
)


@dataclass(frozen=True, slots=True)
class Invitation:
    """One invitation, without its link. Times are Unix ms.

    Attributes:
        role: a role's id.
        invited_by: who created or last resent it; the invitation is valid while they may grant it.
        delivered_at: when the mail server accepted the mail; None before.
        mail: the state of mail not known to be delivered; None if there is none.
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
        """The last delivery error, as a sentence."""
        return None if self.mail is None else self.mail.trouble


def create(change: Change, actor: Actor, *, email: str, role: str, lifetime_ms: int) -> Invitation:
    """Invite *email* to the actor's company, and enqueue the mail.

    Args:
        role: the id of the role that the new user gets.
        lifetime_ms: of the invitation, from now.

    Raises:
        Forbidden: without ``users:manage``, or without a permission of the role.
        InvalidInput: for ``email`` or ``role``.
        Conflict: ``email_taken``: the company has an active user with that address;
            ``invitation_pending``: it has a pending invitation. Only the mail discloses that
            another company has a user with that address.
    """
    actor = acting(change, actor, "users:manage", person=True)
    inviter, company = _inviter(actor)
    email = read_email("email", email)
    users.require_grantable(change, actor, company, role)
    require_free(change, company, email)
    row = INVITATIONS.create(
        change,
        lifetime_ms=lifetime_ms,
        company_id=company,
        email=email,
        email_folded=fold_email(email),
        role=role,
        invited_by=inviter,
    )
    INVITATIONS.enqueue(change, row)
    record(change, actor, "created", row, after={"email": email, "role": role})
    return _invitation(change, row)


def get(reading: Reading, actor: Actor, invitation_id: str) -> Invitation:
    """One invitation.

    Raises:
        Forbidden: without ``users:manage``.
        NotFound: the company has none of that id.
    """
    actor.require("users:manage")
    return _invitation(reading, _find(reading, actor, invitation_id))


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[Invitation]:
    """A page of the company's invitations, newest first.

    Raises:
        Forbidden: without ``users:manage``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require("users:manage")
    rows = INVITATIONS.rows.where(*of_company(actor, invitations))
    page, more = newest_first(reading, rows, invitations, limit=limit, cursor=cursor)
    mail = outbox.undelivered(reading, [row.id for row in page])
    return Page([_record_of(row, reading.now, mail.get(row.id)) for row in page], more)


def pending_count(reading: Reading, actor: Actor) -> int:
    """How many of the company's newest ``COUNT_LIMIT`` invitations are pending.

    Older ones aren't read: a company that has invited so many people has no index of the few that
    are pending, and few of those are older.

    Raises:
        Forbidden: without ``users:manage``.
    """
    actor.require("users:manage")
    newest = (
        select(invitations)
        .where(*of_company(actor, invitations))
        .order_by(invitations.c.created_at.desc(), invitations.c.id.desc())
        .limit(COUNT_LIMIT)
        .subquery()
        .c
    )
    return reading.session.execute(
        select(func.count()).where(
            newest.accepted_at.is_(None),
            newest.deactivated_at.is_(None),
            newest.expires_at > reading.now,
        )
    ).scalar_one()


def resend(change: Change, actor: Actor, invitation_id: str, *, lifetime_ms: int) -> Invitation:
    """Mail a new link, valid for *lifetime_ms* from now, in place of the old one.

    The actor becomes the inviter. So resending makes an invitation valid again whose inviter left.

    Raises:
        Forbidden: without ``users:manage``, or without a permission of the role.
        NotFound: the company has none of that id.
        Conflict: ``invitation_ended``: it was accepted or deactivated; ``role_gone``;
            ``email_taken`` and ``invitation_pending`` as for a new one.
    """
    actor = acting(change, actor, "users:manage", person=True)
    before, row = _renew(change, actor, invitation_id, lifetime_ms)
    INVITATIONS.enqueue(change, row)
    record(change, actor, "resent", row, before=before, after=_validity(row))
    return _invitation(change, row)


def take_link(
    change: Change, actor: Actor, invitation_id: str, *, lifetime_ms: int, mail_server: bool
) -> tuple[Invitation, str]:
    """As ``resend``, but returns the link for the actor to hand over, without a mail server.

    Args:
        mail_server: whether one is configured. Then only the invited mailbox gets a link, because
            anyone who has it can create the account of that address.

    Returns:
        The invitation, and the link's token, which is returned only here.

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
    INVITATIONS.enqueue(change, row, in_person=True)
    token = INVITATIONS.new_link(change, row.id)
    record(change, actor, "link_taken", row, before=before, after=_validity(row))
    return _invitation(change, row), token


def deactivate(change: Change, actor: Actor, invitation_id: str) -> Invitation:
    """Deactivate an invitation and its link for good. Idempotent.

    Raises:
        Forbidden: without ``users:manage``.
        NotFound: the company has none of that id.
        Conflict: ``invitation_ended``: it was accepted; deactivate the user instead.
    """
    actor = acting(change, actor, "users:manage", person=True)
    _inviter(actor)
    row = _find(change, actor, invitation_id)
    if row.accepted_at is not None:
        raise Conflict("This invitation is accepted already.", reason="invitation_ended")
    if row.deactivated_at is None:
        INVITATIONS.end(change, actor, invitations.c.id == row.id)
        row = _find(change, actor, invitation_id)
        before, after = {"deactivated_at": None}, {"deactivated_at": change.now}
        record(change, actor, "deactivated", row, before=before, after=after)
    return _invitation(change, row)


def mail_delivered(write: Write, invitation_id: str, *, demo: bool) -> None:
    """Record that the mail server, or the demo's mail page, accepted the mail with the link."""
    now = write.now
    update_row(write, invitations, invitation_id, delivered_at=now)
    row = _find(write, Actor.system(), invitation_id)
    after = {"delivered_at": now} | ({"demo": True} if demo else {})
    record(write, Actor.system(), "delivered", row, after=after)


def mail_not_sent(write: Write, invitation_id: str) -> None:
    """Record that there is no mail server that could have taken the mail with the link."""
    row = _find(write, Actor.system(), invitation_id)
    record(write, Actor.system(), "not_mailed", row)


def status_of(row: Row[Any], now: int) -> Status:
    """The status of an invitation at *now* (Unix ms)."""
    state = INVITATIONS.state(row, now)
    return "accepted" if state == "used" else state


def _renew(
    change: Change, actor: Actor, invitation_id: str, lifetime_ms: int
) -> tuple[dict[str, Any], Row[Any]]:
    """Renew an invitation for *lifetime_ms* from now, with the actor as inviter and without a link.

    Returns:
        Its former validity, and its row.
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
    update_row(
        change,
        invitations,
        row.id,
        invited_by=inviter,
        expires_at=now + lifetime_ms,
        link_id=None,
        link_digest=None,
        delivered_at=None,
    )
    return before, _find(change, actor, invitation_id)


def _validity(row: Row[Any]) -> dict[str, Any]:
    return {"expires_at": row.expires_at, "invited_by": row.invited_by}


def require_free(
    reading: Reading, company: str, email: str, *, but: str = "", user: str = ""
) -> None:
    """Require that no user and no pending invitation of the company has *email*.

    Other companies' users change neither the answer nor its timing, because a company must not
    learn about them.

    Args:
        but: the id of an invitation to ignore.
        user: the id of a user to ignore.

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
            INVITATIONS.pending(reading),
        )
        .limit(1)
    ).first()
    if holder is not None and holder.company == company and holder.id != user:
        raise Conflict(f"{email} already has an account.", reason="email_taken")
    if pending is not None:
        raise Conflict(
            f"{email} is invited already. You can send that invitation again.",
            reason="invitation_pending",
        )


def _inviter(actor: Actor) -> tuple[str, str]:
    """The ids of the actor and of their company."""
    if actor.user is None or actor.company is None:
        # An invitation needs an inviter: it is valid while that user may grant its role.
        raise Forbidden(
            "Only a signed-in user can send invitations.", reason="signed_in_user_required"
        )
    return actor.user, actor.company


def _find(reading: Reading, actor: Actor, invitation_id: str) -> Row[Any]:
    rows = INVITATIONS.rows.where(invitations.c.id == invitation_id)
    rows = rows.where(*of_company(actor, invitations))
    return find(reading, rows, invitation_id, "invitation")


def record(write: Write, actor: Actor, verb: str, row: Row[Any], **fields: dict[str, Any]) -> None:
    """Write the audit event ``invitation.{verb}``; *fields* are ``before`` and ``after``."""
    subject = Subject("invitation", row.id, row.email)
    log.record(write, actor, f"invitation.{verb}", subject, company=row.company_id, **fields)


def _invitation(reading: Reading, row: Row[Any]) -> Invitation:
    mail = outbox.undelivered(reading, [row.id])
    return _record_of(row, reading.now, mail.get(row.id))


def _record_of(row: Row[Any], now: int, mail: Undelivered | None) -> Invitation:
    return record_of(
        Invitation,
        row,
        company=row.company_id,
        status=status_of(row, now),
        invited_by=Person(row.invited_by, row.inviter_name),
        mail=mail,
    )
