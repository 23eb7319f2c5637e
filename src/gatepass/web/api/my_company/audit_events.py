"""``/v1/audit-events``."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import Field

from gatepass.core.credentials import ID_LENGTH
from gatepass.registry.audit import events, sentences
from gatepass.registry.audit import search as audit_search
from gatepass.web.api.parameters import Paging, Term
from gatepass.web.api.request_body import resource
from gatepass.web.api.shapes import Listed, Record, TakenTime, Time
from gatepass.web.caller import Authenticated, CurrentNode
from gatepass.web.times import format_time

router = resource("Audit")

_TIMES = ("_at", "_until")
Kind = Literal[
    "access-tokens",
    "access-requests",
    "authentications",
    "users",
    "owners",
    "portal-sessions",
    "webhooks",
    "invitations",
    "passwords",
    "roles",
    "allowlist",
    "company",
]


class AuditActor(Record):
    """The actor of an event."""

    kind: str = Field(
        examples=["user"],
        description="user, token, admin_key, portal_session, command line or system",
    )
    id: str | None = Field(
        examples=["usr_4fT0aB3cD5eF7gH9"],
        description="The id of the user; for a token or a portal session, of its owner.",
    )
    name: str = Field(examples=["Ada Lovelace"])
    credential: str | None = Field(
        examples=["gplt_4fT0aB3cD5eF7gH9"], description="The id of the token in use."
    )
    credential_label: str | None = Field(
        examples=[None],
        description="The current label of the access token in use; null for a login token.",
    )


class AuditSubject(Record):
    """The subject of an event."""

    kind: str = Field(examples=["access_token"])
    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Nightly settlement"])


class AuditEvent(Record):
    """Who did what, when, from where."""

    id: str = Field(examples=["evt_4fT0aB3cD5eF7gH9"])
    at: Time
    action: str = Field(examples=["access_token.created"])
    actor: AuditActor
    address: str | None = Field(examples=["203.0.113.7"])
    subject: AuditSubject
    before: dict[str, Any] | None = Field(examples=[None])
    after: dict[str, Any] | None = Field(examples=[{"label": "Nightly settlement"}])
    sentence: str = Field(
        examples=["Ada Lovelace created the access token Nightly settlement."],
        description="The event as an English sentence.",
    )


async def wanted(
    action: Term | None = None,
    kind: Annotated[Kind | None, Query(description="Only actions of this kind.")] = None,
    user: Annotated[Term | None, Query(description="Only events by this user (an id).")] = None,
    person: Annotated[
        Term | None, Query(description="Only events by this user, or about them (an id).")
    ] = None,
    subject: Annotated[Term | None, Query(description="Only events about this id.")] = None,
    token: Annotated[
        Term | None, Query(description="Only events by this token, or about it (an id).")
    ] = None,
    since: Annotated[TakenTime | None, Query(description="At or after this time.")] = None,
    until: Annotated[TakenTime | None, Query(description="Before this time.")] = None,
) -> audit_search.Filters:
    """The filters in the query string."""
    return {
        "action": action,
        "kind": kind,
        "user": user,
        "people": None if person is None else [person],
        "subject": subject,
        # Someone may paste a whole token text: the secret is cut off.
        "tokens": None if token is None else [token[:ID_LENGTH]],
        "since": since,
        "until": until,
    }


Wanted = Annotated[audit_search.Filters, Depends(wanted)]


@router.get("/audit-events", summary="Who did what, when, from where")
def search(
    node: CurrentNode, actor: Authenticated, paging: Paging, filters: Wanted
) -> Listed[AuditEvent]:
    """Needs `audit:get`."""
    with node.database.read(node.clock.now()) as reading:
        page = audit_search.list_(reading, actor, **paging, **filters)
    return Listed[AuditEvent](items=[sent(event) for event in page.items], next=page.next)


def sent(event: events.AuditEvent) -> AuditEvent:
    """An event as the API sends it."""
    return AuditEvent(
        id=event.id,
        at=event.at,
        action=event.action,
        actor=AuditActor(
            kind=event.actor_kind,
            id=event.actor_id,
            name=event.actor_name,
            credential=event.actor_credential,
            credential_label=event.token_label,
        ),
        address=event.address,
        subject=AuditSubject.model_validate(event.subject),
        before=with_times(event.before),
        after=with_times(event.after),
        sentence=sentences.sentence(event),
    )


def with_times(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """Format the times in an event's fields, which the log stores as Unix ms."""
    if fields is None:
        return None
    return {
        name: format_time(value) if name.endswith(_TIMES) and type(value) is int else value
        for name, value in fields.items()
    }
