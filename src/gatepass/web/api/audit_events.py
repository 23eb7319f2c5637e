"""``/v1/audit-events``."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from gatepass.registry import audit
from gatepass.web.api.shapes import Limit, Listed, PageCursor, Record, TakenTime, Term, Time
from gatepass.web.deps import Authenticated, OurNode
from gatepass.web.times import format_time

router = APIRouter(tags=["Audit"])

_TIMES = ("_at", "_until")


class AuditActor(Record):
    """Who did it."""

    kind: str = Field(description="user, token, command line or system")
    id: str | None = Field(description="The id of the user; of a token, its maker's.")
    name: str
    credential: str | None = Field(description="The id of the token that was used.")


class AuditSubject(Record):
    """What it was done to."""

    kind: str
    id: str
    name: str


class AuditEvent(Record):
    """Who did what, when, from where."""

    id: str
    at: Time
    action: str = Field(examples=["access_token.created"])
    actor: AuditActor
    address: str | None
    subject: AuditSubject
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    sentence: str = Field(description="The same in words.")


@router.get("/audit-events", summary="Who did what, when, from where")
def search(
    node: OurNode,
    actor: Authenticated,
    action: Term | None = None,
    user: Annotated[Term | None, Query(description="Only what this user did: an id.")] = None,
    subject: Annotated[Term | None, Query(description="Only what happened to it: an id.")] = None,
    since: Annotated[TakenTime | None, Query(description="At or after this time.")] = None,
    until: Annotated[TakenTime | None, Query(description="Before this time.")] = None,
    limit: Limit | None = None,
    cursor: PageCursor = None,
) -> Listed[AuditEvent]:
    """Needs `audit:get`."""
    with node.database.reading(node.clock.now()) as session:
        page = audit.list_(
            session,
            actor,
            action=action,
            user=user,
            subject=subject,
            since=since,
            until=until,
            limit=limit,
            cursor=cursor,
        )
    return Listed[AuditEvent](items=[_sent(event) for event in page.items], next=page.next)


def _sent(event: audit.AuditEvent) -> AuditEvent:
    return AuditEvent(
        id=event.id,
        at=event.at,
        action=event.action,
        actor=AuditActor(
            kind=event.actor_kind,
            id=event.actor_id,
            name=event.actor_name,
            credential=event.actor_credential,
        ),
        address=event.address,
        subject=AuditSubject.model_validate(event.subject),
        before=_with_times(event.before),
        after=_with_times(event.after),
        sentence=audit.sentence(event),
    )


def _with_times(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """The log keeps times as numbers; the API knows times only one way."""
    if fields is None:
        return None
    return {
        name: format_time(value) if name.endswith(_TIMES) and type(value) is int else value
        for name, value in fields.items()
    }
