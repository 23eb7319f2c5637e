"""Access tokens ask for a permission that they lack; people answer, and get mail about it.

A request is enqueued with its mail in one transaction, so there are both or neither, whatever
happens to the process.
"""

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, insert, or_, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.errors import Conflict, Forbidden, NotFound, TooManyAttempts
from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.users import is_user
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import published_holder, published_rules
from gatepass.registry.input.text import Problems, bidi_problem, storable
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import access_requests, access_tokens, companies, users
from gatepass.registry.tokens import access_tokens as tokens
from gatepass.registry.tokens import store
from gatepass.registry.tokens.calls.observed_calls import CallRecord
from gatepass.registry.tokens.exception_records import TokenException
from gatepass.registry.tokens.policy import approval
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.temporary import exceptions, request_records
from gatepass.registry.tokens.temporary.exceptions import LONGEST_S
from gatepass.registry.tokens.temporary.request_records import DECIDE, STORED, AccessRequest, record

#: The kind of the mail about a request.
MAIL = "access_requested"
LONGEST_JUSTIFICATION = 500
#: Requests of a token, and of those that it replaced by itself, in 24 hours.
MOST_A_DAY = 20
#: Pending requests of a company.
MOST_PENDING = 100

_DAY_MS = 86_400_000
_MOST_RECIPIENTS = 50
_is_decision = re.compile("dec_[0-9A-Za-z]{22}").fullmatch
_request = access_requests.c
_token = access_tokens.c


def ask(
    change: Change,
    actor: Actor,
    *,
    catalogue: Catalogue,
    permission: str,
    decision: str | None,
    justification: str | None,
    lifetime_ms: int,
) -> AccessRequest:
    """Request *permission* for the access token in use, and enqueue mail about it.

    While the same request is pending, nothing changes.

    Args:
        permission: one of the catalogue's file.
        decision: the id of the refusal.
        justification: for the people who answer.
        lifetime_ms: for how long it can be answered.

    Raises:
        Forbidden: ``access_token_required``; as ``acting`` says.
        InvalidInput: for ``decision`` or ``justification``.
        NotFound: there is no such permission.
        Conflict: ``already_held``; ``role_too_small``: its owner's role doesn't grant it.
        TooManyAttempts: it was denied within 24 hours; the token made too many, or too many of the
            company are pending.
    """
    actor = acting(change, actor)
    if actor.kind != "token" or actor.company is None:
        raise Forbidden("This needs an access token.", reason="access_token_required")
    _require_readable(decision, justification)
    if permission not in catalogue.from_file:
        raise NotFound("There is no such permission in the catalogue's file.")
    row = store.find(change, actor.company, actor.credential or "")
    if actor.may(permission):
        raise Conflict(f"This token holds {permission} already.", reason="already_held")
    if not covers(_role_of_owner(change, row), permission):
        raise Conflict(
            f"The role of this token's owner doesn't grant {permission}.", reason="role_too_small"
        )
    for pending in request_records.pending_of(change, row.id):
        if pending.permission == permission:
            return pending
    _require_within_limits(change, row, permission)
    request_id = new_id("req")
    columns = {
        "id": request_id,
        "company_id": row.company_id,
        "token_id": row.id,
        "permission": permission,
        "decision": decision,
        "justification": justification or None,
        "created_at": change.now,
        "expires_at": change.now + lifetime_ms,
    }
    change.session.execute(insert(access_requests), columns)
    made = request_records.find(change, row.company_id, request_id)
    _record(change, actor, "created", made)
    _enqueue(change, store.token_of(change, row), made)
    return made


def pending(reading: Reading, actor: Actor, permission: str) -> AccessRequest | None:
    """The pending request of the access token in use for *permission*, if there is one."""
    if actor.may(permission):
        return None
    found = request_records.pending_of(reading, actor.credential or "")
    return next((each for each in found if each.permission == permission), None)


def approve(
    change: Change, actor: Actor, request_id: str, *, seconds: int | None, catalogue: Catalogue
) -> AccessRequest:
    """Allow what a request asks for, by an exception or for good.

    Args:
        seconds: of the exception; None adds the permission to the token, as a modification by the
            actor does.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-requests:decide`` or the
            permission; where the token policy requires approval of it, without
            ``access-tokens:approve``, or ``second_person_required``; for good, as
            ``access_tokens.modify`` says.
        NotFound: there is no such request, or it is another company's.
        InvalidInput: for ``seconds``; for good, as ``access_tokens.modify`` says.
        Conflict: ``not_pending``, ``token_deactivated``, ``token_expired`` or
            ``too_many_exceptions``, for good also ``approval_required``, each with the ``current``
            request.
    """
    actor, request = _deciding(change, actor, request_id)
    if seconds is not None:
        problems = Problems()
        if type(seconds) is not int or not 1 <= seconds <= LONGEST_S:
            problems.add("seconds", f"Must be a whole number from 1 to {LONGEST_S:,}.")
        problems.settle()
    row = store.find(change, actor.company, request.access_token.id)
    token = store.token_of(change, row)
    _require_second_person(change, actor, token, request.permission)
    _require_pending(request)
    until = None if seconds is None else change.now + 1_000 * seconds
    try:
        store.require_active(token, "given a permission")
        if until is None:
            permissions = [*token.permissions, request.permission]
            changes = {"permissions": permissions}
            tokens.modify(change, actor, token.id, catalogue=catalogue, changes=changes)
        else:
            new = TokenException(request.permission, until, request.id)
            exceptions.add(change, actor, row, new)
    except Conflict as conflict:
        # It is the request that is being answered.
        conflict.current = request
        raise
    return _decide(change, actor, request, "approved", until)


def deny(change: Change, actor: Actor, request_id: str) -> AccessRequest:
    """Deny a request.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-requests:decide`` or the
            permission.
        NotFound: there is no such request, or it is another company's.
        Conflict: ``not_pending``, with the ``current`` request.
    """
    actor, request = _deciding(change, actor, request_id)
    _require_pending(request)
    return _decide(change, actor, request, "denied", None)


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of the mail about a request.

    Attributes:
        label: of the token.
        own: whether the token is the reader's.
        call: the one that was refused; None if it hasn't been reported yet.
    """

    request: str
    label: str
    permission: str
    expires_at: int
    own: bool
    user_name: str
    company_name: str
    call: CallRecord | None


def letter(reading: Reading, subject: str) -> Letter | None:
    """The content of a mail; None if the request isn't pending any more, or has no reader.

    Args:
        subject: the mail's: the id of the request, ``asked`` and the id of the user.
    """
    request_id, _, user = subject.partition(":asked:")
    row = reading.session.execute(
        STORED.add_columns(
            _token.owner_id,
            users.c.name.label("user_name"),
            companies.c.name.label("company_name"),
        )
        .join(companies, companies.c.id == _request.company_id)
        .join(users, users.c.company_id == companies.c.id)
        .where(_request.id == request_id, users.c.id == user, users.c.deactivated_at.is_(None))
        .where(companies.c.deactivated_at.is_(None), _token.deactivated_at.is_(None))
    ).one_or_none()
    request = None if row is None else record(row, reading.now)
    if row is None or request is None or request.status != "pending":
        return None
    return Letter(
        request_id,
        row.label,
        row.permission,
        row.expires_at,
        row.owner_id == user,
        row.user_name,
        row.company_name,
        request_records.refused_call(reading, request),
    )


def _require_readable(decision: str | None, justification: str | None) -> None:
    problems = Problems()
    if decision is not None and not _is_decision(decision):
        problems.add("decision", "Must be the id of a refusal, such as dec_… of its help.")
    if justification is not None:
        if len(justification) > LONGEST_JUSTIFICATION:
            problems.add("justification", f"Must have at most {LONGEST_JUSTIFICATION} characters.")
        elif not storable(justification.replace("\n", " ")):
            message = "Must have no control characters but line feeds."
            problems.add("justification", message)
        elif (problem := bidi_problem(justification)) is not None:
            problems.add("justification", problem)
    problems.settle()


def _role_of_owner(reading: Reading, row: Row[Any]) -> frozenset[str]:
    holder = published_holder(reading, row.owner_id)
    if holder is None:
        return frozenset()
    return published_rules(reading, row.company_id).roles.get(holder.role, frozenset())


def _require_within_limits(reading: Reading, row: Row[Any], permission: str) -> None:
    of_token = _request.token_id.in_(_family(row))
    since = reading.now - _DAY_MS
    denied = select(_request.decided_at).where(
        of_token,
        _request.permission == permission,
        _request.outcome == "denied",
        _request.decided_at > since,
    )
    lately = select(_request.created_at).where(of_token, _request.created_at > since)
    pending = select(_request.expires_at).where(
        _request.company_id == row.company_id,
        _request.outcome.is_(None),
        _request.expires_at > reading.now,
    )
    _require_free(reading, denied.order_by(_request.decided_at.desc()), 1, _DAY_MS,
                  "This was denied within the last 24 hours.")  # fmt: skip
    _require_free(reading, lately.order_by(_request.created_at.desc()), MOST_A_DAY, _DAY_MS,
                  f"An access token can ask {MOST_A_DAY} times in 24 hours.")  # fmt: skip
    _require_free(reading, pending.order_by(_request.expires_at.desc()), MOST_PENDING, 0,
                  f"{MOST_PENDING} requests of this company are pending.")  # fmt: skip


def _require_free(
    reading: Reading, times: Select[Any], most: int, lasts_ms: int, what: str
) -> None:
    """Require fewer than *most* of *times*, the latest first, each of which lasts for a while.

    Raises:
        TooManyAttempts: with *what*, until the first of them is over.
    """
    found = reading.session.scalars(times.limit(most)).all()
    if len(found) >= most:
        raise TooManyAttempts(-(-(found[-1] + lasts_ms - reading.now) // 1_000), what)


def _family(row: Row[Any]) -> Select[str]:
    """The ids of a token and of those before it that rotated themselves: the limits are theirs."""
    same = [_token.id == row.id]
    if row.family_id is not None:
        same.append(_token.family_id == row.family_id)
    return select(_token.id).where(or_(*same))


def _deciding(change: Change, actor: Actor, request_id: str) -> tuple[Actor, AccessRequest]:
    """The actor, who may answer the request, and the request."""
    actor = acting(change, actor, DECIDE, person=True)
    # The record names who decided.
    actor.require_user()
    request = request_records.find(change, actor.company, request_id)
    actor.require_held([request.permission])
    return actor, request


def _require_second_person(
    reading: Reading, actor: Actor, token: AccessToken, permission: str
) -> None:
    if not request_records.needs_second_person(reading, token.company, permission):
        return
    actor.require(approval.APPROVE)
    actor.require_held(token.permissions)
    if actor.user in approval.makers_of_family(reading, token):
        raise Forbidden(
            "Only a second person can approve this request: you made or own its access token.",
            reason="second_person_required",
        )


def _require_pending(request: AccessRequest) -> None:
    if request.status != "pending":
        raise Conflict(f"This request is {request.status}.", reason="not_pending", current=request)


def _decide(
    change: Change, actor: Actor, request: AccessRequest, outcome: str, until: int | None
) -> AccessRequest:
    update_row(
        change,
        access_requests,
        request.id,
        outcome=outcome,
        decided_at=change.now,
        decided_by=actor.user,
        decided_by_name=actor.name,
        until=until,
    )
    decided = request_records.find(change, request.company, request.id)
    _record(change, actor, outcome, decided)
    return decided


def _record(write: Write, actor: Actor, verb: str, request: AccessRequest) -> None:
    asking = request.access_token
    after: dict[str, Any] = {"access_token": asking.id, "label": asking.label}
    if verb == "approved":
        after["allowed_until"] = request.until
    subject = Subject("access_request", request.id, request.permission)
    log.record(
        write, actor, f"access_request.{verb}", subject, company=request.company, after=after
    )


def _enqueue(write: Write, token: AccessToken, request: AccessRequest) -> None:
    """Enqueue a mail to the token's owner, and to each who can answer."""
    deciders = request_records.deciders(write, token, request.permission, most=_MOST_RECIPIENTS)
    people = {row.id: row.email for row in deciders}
    if is_user(token.owner.id):
        owner = select(users.c.email).where(users.c.id == token.owner.id)
        people[token.owner.id] = write.session.execute(owner).scalar_one()
    for user, email in people.items():
        outbox.enqueue(
            write,
            kind=MAIL,
            subject=f"{request.id}:asked:{user}",
            company=request.company,
            recipient=email,
            expires_at=request.expires_at,
        )
