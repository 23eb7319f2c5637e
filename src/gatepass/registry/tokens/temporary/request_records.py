"""Access requests: records, lists, and who can answer them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Row, func, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import InvalidInput
from gatepass.core.permissions import EVERYTHING, covers
from gatepass.core.reason import Reason
from gatepass.registry.actor import Actor, Person
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import LARGEST_PAGE, Page, newest_first
from gatepass.registry.storage.rows import record_of
from gatepass.registry.storage.tables import access_requests, access_tokens, users
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.calls.observed_calls import CallRecord
from gatepass.registry.tokens.policy import approval
from gatepass.registry.tokens.policy.approval import makers_of_family
from gatepass.registry.tokens.records import AccessToken

#: The permission that answering takes.
DECIDE = "access-requests:decide"

RequestStatus = Literal["pending", "approved", "denied", "expired"]
STATUSES: tuple[RequestStatus, ...] = get_args(RequestStatus)

_request = access_requests.c
#: Requests, with the present labels of their tokens.
STORED = select(access_requests, access_tokens.c.label).join(
    access_tokens, access_tokens.c.id == _request.token_id
)


@dataclass(frozen=True, slots=True)
class AskingToken:
    """The access token that asks, and its present label."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A request of an access token for a permission. Times are Unix ms.

    Attributes:
        decision: the id of the refusal, as the token's holder named it; nobody has checked it.
        justification: likewise, for a person to read.
        expires_at: from then on it can't be answered.
        decided_at, decided_by: None while nobody has answered.
        until: when its exception ends or ended; None if it was denied, or approved for good.
        always: whether it was approved for good.
    """

    id: str
    company: str
    access_token: AskingToken
    permission: str
    decision: str | None
    justification: str | None
    status: RequestStatus
    created_at: int
    expires_at: int
    decided_at: int | None
    decided_by: Person | None
    until: int | None
    always: bool


def find(reading: Reading, company: str | None, request_id: str) -> AccessRequest:
    """One request of a company. Performs no permission check: the caller must have done it.

    Args:
        company: an id; None is any company.

    Raises:
        NotFound: there is none, or it is another company's.
    """
    wanted = STORED.where(_request.id == request_id)
    if company is not None:
        wanted = wanted.where(_request.company_id == company)
    return record(rows.find(reading, wanted, request_id, "access request"), reading.now)


def get(reading: Reading, actor: Actor, request_id: str) -> AccessRequest:
    """One request: of the access token in use, or one that the actor can answer.

    Raises:
        Forbidden: without ``access-requests:decide``, or without the permission that is asked for.
        NotFound: there is none, it is another company's, or another access token's than the one in
            use.
    """
    if actor.kind == "token":
        own = STORED.where(_request.id == request_id, _request.token_id == actor.credential)
        return record(rows.find(reading, own, request_id, "access request"), reading.now)
    actor.require_signed_in()
    actor.require(DECIDE)
    found = find(reading, actor.company, request_id)
    actor.require_held([found.permission])
    return found


def visible(reading: Reading, actor: Actor, request_id: str) -> AccessRequest:
    """One request, for people who can answer it, see its token, or own it.

    Raises:
        Forbidden: ``signed_in_user_required``; ``permission_missing``.
        NotFound: there is none, or it is another company's.
    """
    actor.require_signed_in()
    found = find(reading, actor.company, request_id)
    token = select(access_tokens.c.owner_id).where(access_tokens.c.id == found.access_token.id)
    if reading.session.execute(token).scalar_one() != actor.user and not actor.may(DECIDE):
        actor.require("access-tokens:get")
    return found


def list_(
    reading: Reading,
    actor: Actor,
    *,
    catalogue: Catalogue,
    status: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[AccessRequest]:
    """A page of the requests for permissions that the actor holds, newest first.

    Args:
        status: one of ``STATUSES``; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-requests:decide``.
        InvalidInput: for ``status``, ``cursor`` or ``limit``.
    """
    actor.require_signed_in()
    actor.require(DECIDE)
    wanted = STORED.where(*_of_company(actor, catalogue))
    if status is not None:
        wanted = wanted.where(*_with_status(status, reading.now))
    found, more = newest_first(reading, wanted, access_requests, limit=limit, cursor=cursor)
    return Page([record(row, reading.now) for row in found], more)


def number_pending(reading: Reading, actor: Actor, catalogue: Catalogue) -> int:
    """How many requests wait that the actor can answer; 0 without the permission to."""
    if actor.kind != "user" or not actor.may(DECIDE):
        return 0
    which = (*_of_company(actor, catalogue), *_with_status("pending", reading.now))
    counted = select(func.count()).select_from(access_requests).where(*which)
    return reading.session.execute(counted).scalar_one()


def pending_of(reading: Reading, token_id: str) -> list[AccessRequest]:
    """The pending requests of a token, the first one first.

    Performs no permission check: the caller must have done it.
    """
    which = (_request.token_id == token_id, *_with_status("pending", reading.now))
    found = reading.session.execute(STORED.where(*which).order_by(_request.created_at, _request.id))
    return [record(row, reading.now) for row in found]


def refused_call(reading: Reading, request: AccessRequest) -> CallRecord | None:
    """The refused call that a request is about; None if none is known.

    The one that it names; else the latest that lacked the permission.
    """
    calls = observed_calls.list_(
        reading, request.access_token.id, outcome="refused", limit=LARGEST_PAGE
    ).items
    named = [call for call in calls if call.decision and call.decision == request.decision]
    lacking = [
        call
        for call in calls
        if call.reason == Reason.permission_missing and call.permission == request.permission
    ]
    return next(iter(named + lacking), None)


def needs_second_person(reading: Reading, company: str, permission: str) -> bool:
    """Whether a request for *permission* needs a second person by the policy of a company."""
    return bool(approval.needing(reading, company, (permission,)))


def may_decide(
    reading: Reading, user: str | None, permits: Collection[str], token: AccessToken, name: str
) -> bool:
    """Whether a user can approve a request of *token* for the permission *name*.

    Args:
        permits: the permissions of the user's role.
    """
    second = needs_second_person(reading, token.company, name)
    return _suffice(permits, token, name, second) and not (
        second and user in makers_of_family(reading, token)
    )


def deciders(reading: Reading, token: AccessToken, name: str, *, most: int) -> Sequence[Any]:
    """Ids, names and addresses of users who can approve a request, the first ones first."""
    second = needs_second_person(reading, token.company, name)
    its = published_roles(reading, token.company)
    roles = [role for role, permits in its.items() if _suffice(permits, token, name, second)]
    which = [users.c.company_id == token.company, users.c.deactivated_at.is_(None)]
    if second:
        which.append(users.c.id.not_in(makers_of_family(reading, token)))
    return reading.session.execute(
        select(users.c.id, users.c.name, users.c.email)
        .where(*which, users.c.role.in_(roles))
        .order_by(users.c.created_at, users.c.id)
        .limit(most)
    ).all()


def record(row: Row[Any], now: int) -> AccessRequest:
    """The request of a row of ``STORED``."""
    return record_of(
        AccessRequest,
        row,
        company=row.company_id,
        access_token=AskingToken(row.token_id, row.label),
        status=row.outcome or ("pending" if now < row.expires_at else "expired"),
        decided_by=None if row.decided_at is None else Person(row.decided_by, row.decided_by_name),
        always=row.outcome == "approved" and row.until is None,
    )


def _suffice(permits: Collection[str], token: AccessToken, name: str, second: bool) -> bool:
    needed = (DECIDE, name, *((approval.APPROVE, *token.permissions) if second else ()))
    return all(covers(permits, each) for each in needed)


def _of_company(actor: Actor, catalogue: Catalogue) -> list[ColumnElement[bool]]:
    """Requests of the actor's company, for permissions that it holds."""
    which = rows.of_company(actor, access_requests)
    if not actor.may(EVERYTHING):
        which.append(_request.permission.in_([n for n in catalogue.from_file if actor.may(n)]))
    return which


def _with_status(status: str, now: int) -> list[ColumnElement[bool]]:
    if status not in STATUSES:
        raise InvalidInput([("status", f"Must be {', '.join(STATUSES[:-1])} or {STATUSES[-1]}.")])
    if status in ("approved", "denied"):
        return [_request.outcome == status]
    waits = _request.expires_at > now if status == "pending" else _request.expires_at <= now
    return [_request.outcome.is_(None), waits]
