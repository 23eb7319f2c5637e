"""The approval of access tokens by a second person, and the mail about it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select, update

from gatepass.core.errors import Conflict, Forbidden
from gatepass.core.grants import USER
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, published_roles
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Change, Database, Reading, Write
from gatepass.registry.storage.rows import require_unchanged, update_row
from gatepass.registry.storage.tables import access_tokens, companies, outgoing_mail, users
from gatepass.registry.tokens import store
from gatepass.registry.tokens.approval_records import PENDING_MS
from gatepass.registry.tokens.policy import approval
from gatepass.registry.tokens.records import STORED, AccessToken, etag, grant_of, tokens_of

#: The kinds of the mails that ask for approval, and that tell of it.
ASKING_MAIL, APPROVED_MAIL = "token_approval_asked", "token_approved"
#: People of a company are asked at most so often.
ASKED_AGAIN_MS = 600_000

_MAIL_EXPIRES_MS = 3 * 24 * 3_600_000
_MOST_RECIPIENTS = 50
# With more tokens than these in so short a time, their approvers aren't all asked by mail.
_MOST_TOKENS = 100
_AT_ONCE = 1_000
_token = access_tokens.c


def approve(
    change: Change, actor: Actor, token_id: str, *, if_match: Collection[str] | None = None
) -> AccessToken:
    """Approve a pending token, which is active from now on. Repeating it changes nothing.

    Args:
        if_match: the ETags of versions that may be approved; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:approve`` or a permission of
            the token; ``second_person_required``: the actor made, owns or extended it.
        NotFound: there is none, or it is another company's.
        Conflict: ``changed_meanwhile``; ``token_deactivated``, ``token_expired`` or
            ``not_pending``, each with the ``current`` record.
    """
    actor = acting(change, actor, approval.APPROVE, person=True)
    # Nobody else is known to be a second person.
    actor.require_user()
    row = store.find(change, actor.company, token_id)
    token = store.token_of(change, row)
    actor.require_held(token.permissions)
    if actor.user in approval.first_persons(token):
        raise Forbidden(
            "Only a second person can approve this token: you made it, own it, or added a "
            "permission to it.",
            reason="second_person_required",
        )
    require_unchanged(token, etag(token), if_match, "this token")
    store.require_active(token, "approved", pending=True)
    if token.approval is None:
        raise Conflict("This token needs no approval.", reason="not_pending", current=token)
    if token.status == "active":
        return token
    until = token.approval.until
    if until is not None and change.now >= until:
        # The round that deactivates it hasn't run yet.
        raise Conflict(
            "This token has waited too long, and can't be approved any more.",
            reason="token_deactivated",
            current=token,
        )
    values = {
        "pending_since": None,
        "approved_at": change.now,
        "approved_by": actor.user,
        "approved_by_name": actor.name,
        # Its days without use count from now: a round looks at it.
        "warn_at": 0,
    }
    update_row(change, access_tokens, row.id, **values)
    publish(change, grant_of({**row._mapping, **values}))
    subject = Subject("access_token", row.id, row.label)
    log.record(change, actor, "access_token.approved", subject, company=row.company_id)
    _tell(change, token)
    return store.token_of(change, store.find(change, row.company_id, row.id))


def ask(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Enqueue mail to the people who can approve pending tokens; returns the number of tokens.

    One mail to each is about all of them, and is sent at most every ``ASKED_AGAIN_MS``. Several
    nodes may run it.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.

    Raises:
        Unavailable: the database can't be used now.
    """
    asked = 0
    with database.read(now()) as reading:
        waiting = select(_token.company_id).where(*_unasked(reading.now)).distinct()
        found = [
            company
            for company in reading.session.scalars(waiting.order_by(_token.company_id))
            if not _asked_lately(reading, company)
        ]
    for company in found:
        with database.auxiliary_write(now()) as write:
            asked += _ask(write, company)
        if not pause():
            break
    return asked


@dataclass(frozen=True, slots=True)
class Request:
    """The content of the mail that asks for approvals.

    Attributes:
        label, token: of one of the tokens; the id.
        count: of those that the reader can approve, up to ``_MOST_TOKENS``.
    """

    token: str
    label: str
    count: int
    user_name: str
    company_name: str


def request(reading: Reading, subject: str) -> Request | None:
    """The content of a mail; None if its reader can approve no pending token any more.

    Args:
        subject: the mail's: ``approvals`` and the id of the user.
    """
    user = _reader(reading, subject.partition(":")[2])
    if user is None:
        return None
    permits = published_roles(reading, user.company_id).get(user.role, frozenset())
    rows = reading.session.execute(
        STORED.where(_token.company_id == user.company_id, *_pending(reading.now))
        .order_by(_token.pending_since.desc(), _token.id)
        .limit(_MOST_TOKENS)
    ).all()
    tokens = [
        token
        for token in tokens_of(reading, list(rows))
        if approval.may_approve(user.id, permits, token)
    ]
    if not tokens:
        return None
    return Request(tokens[0].id, tokens[0].label, len(tokens), user.name, user.company)


@dataclass(frozen=True, slots=True)
class Approved:
    """The content of the mail about an approved token. ``token`` is its id."""

    token: str
    label: str
    approver: str
    user_name: str
    company_name: str


def approved(reading: Reading, subject: str) -> Approved | None:
    """The content of a mail; None if there is no reader any more, or the token has ended.

    Args:
        subject: the mail's: the id of the token, ``approved`` and the id of the user.
    """
    token_id, _, user_id = subject.partition(":approved:")
    user = _reader(reading, user_id)
    row = reading.session.execute(
        select(_token.label, _token.approved_by_name).where(
            _token.id == token_id, _token.approved_at.is_not(None), _token.deactivated_at.is_(None)
        )
    ).one_or_none()
    if user is None or row is None:
        return None
    return Approved(token_id, row.label, row.approved_by_name, user.name, user.company)


def _pending(now: int) -> list[ColumnElement[bool]]:
    return [
        # A range, so that the index of pending tokens is chosen.
        _token.pending_since > now - PENDING_MS,
        _token.deactivated_at.is_(None),
        or_(_token.expires_at.is_(None), _token.expires_at > now),
    ]


def _unasked(now: int) -> list[ColumnElement[bool]]:
    return [*_pending(now), _token.approval_asked_at.is_(None)]


def _asked_lately(reading: Reading, company: str) -> bool:
    mail = outgoing_mail.c
    found = select(mail.id).where(
        mail.company_id == company,
        mail.kind == ASKING_MAIL,
        mail.created_at > reading.now - ASKED_AGAIN_MS,
    )
    return reading.session.execute(found.limit(1)).first() is not None


def _ask(write: Write, company: str) -> int:
    # Another node may ask at this moment.
    waiting = STORED.where(_token.company_id == company, *_unasked(write.now))
    rows = write.session.execute(
        waiting.order_by(_token.id).with_for_update(of=access_tokens, skip_locked=True)
    ).all()
    people = {
        user: email
        for token in tokens_of(write, list(rows[:_MOST_TOKENS]))
        for user, _, email in approval.approvers(write, token, most=_MOST_RECIPIENTS)
    }
    for user, email in list(people.items())[:_MOST_RECIPIENTS]:
        _enqueue(write, ASKING_MAIL, f"approvals:{user}", company, email)
    ids = [row.id for row in rows]
    asked = update(access_tokens).values(approval_asked_at=write.now)
    for start in range(0, len(ids), _AT_ONCE):
        write.session.execute(asked.where(_token.id.in_(ids[start : start + _AT_ONCE])))
    return len(rows)


def _tell(write: Write, token: AccessToken) -> None:
    """Enqueue the mail about an approval: to the owner, or the maker if the owner is no user."""
    user = token.owner.id if token.owner.type == USER else token.created_by.id
    email = write.session.scalar(
        select(users.c.email).where(users.c.id == user, users.c.deactivated_at.is_(None))
    )
    if email is not None:
        _enqueue(write, APPROVED_MAIL, f"{token.id}:approved:{user}", token.company, email)


def _enqueue(write: Write, kind: str, subject: str, company: str, email: str) -> None:
    outbox.enqueue(
        write,
        kind=kind,
        subject=subject,
        company=company,
        recipient=email,
        expires_at=write.now + _MAIL_EXPIRES_MS,
    )


def _reader(reading: Reading, user: str) -> Row[Any] | None:
    """The active user with that id; None if there is none."""
    return reading.session.execute(
        select(users, companies.c.name.label("company"))
        .join(companies, companies.c.id == users.c.company_id)
        .where(users.c.id == user, users.c.deactivated_at.is_(None))
        .where(companies.c.deactivated_at.is_(None))
    ).one_or_none()
