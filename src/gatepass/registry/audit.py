"""The audit log: who did what, when, from where."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, tuple_
from sqlalchemy.orm import Session

from gatepass.core.credentials import new_id
from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.fields import storable
from gatepass.registry.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.tables import audit_events


@dataclass(frozen=True, slots=True)
class Subject:
    """What was acted upon: ``access_token``, its id, and its label or name at that time."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened. ``at`` is Unix ms.

    Attributes:
        action: such as ``access_token.created``.
        actor_kind: ``user``, ``token``, ``command line`` or ``system``.
        actor_id: the user's id (a token's maker), None for the command line and the system.
        actor_credential: the access token or authentication that was in use.
        before, after: the fields that changed; never a secret or a digest.
    """

    id: str
    company: str | None
    at: int
    actor_kind: str
    actor_id: str | None
    actor_name: str
    actor_credential: str | None
    address: str | None
    action: str
    subject: Subject
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: Subject,
    *,
    company: str | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write an event in the transaction of the change it tells of.

    Args:
        company: whose log it belongs to; None is the installation's own, which no company sees.
        before, after: the fields that changed, as JSON; never a secret or a digest.
    """
    session.execute(
        insert(audit_events),
        {
            "id": new_id("evt"),
            "company_id": company,
            "at": session.info["now"],
            "actor_kind": actor.kind,
            "actor_id": actor.user,
            "actor_name": actor.name,
            "actor_credential": actor.credential,
            "address": actor.address,
            "action": action,
            "subject_kind": subject.kind,
            "subject_id": subject.id,
            "subject_name": subject.name,
            "before": None if before is None else dict(before),
            "after": None if after is None else dict(after),
        },
    )


def list_(
    session: Session,
    actor: Actor,
    *,
    action: str | None = None,
    user: str | None = None,
    subject: str | None = None,
    since: int | None = None,
    until: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[AuditEvent]:
    """The company's events, newest first; the command line sees every company's.

    Args:
        action: only this action.
        user: only what this user did, in person or through an access token; an id.
        subject: only what happened to this record; an id.
        since, until: only events at or after, and before, this time (Unix ms).

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require("audit:get")
    after, limit = read_cursor(cursor), read_limit(limit)
    table = audit_events.c
    wanted = [
        column == value
        for column, value in (
            (table.company_id, actor.company),
            (table.action, action),
            (table.actor_id, user),
            (table.subject_id, subject),
        )
        if value is not None
    ]
    if not all(storable(value) for value in (action, user, subject) if value is not None):
        return Page([], None)
    if since is not None:
        wanted.append(table.at >= since)
    if until is not None:
        wanted.append(table.at < until)
    if after is not None:
        # Several events may share a millisecond; their numbers keep the order they were written in.
        wanted.append(tuple_(table.at, table.number) < tuple_(after.number, _number(after)))
    rows = session.execute(
        select(audit_events)
        .where(*wanted)
        .order_by(table.at.desc(), table.number.desc())
        .limit(limit + 1)
    ).all()
    page = rows[:limit]
    more = str(Cursor(page[-1].at, str(page[-1].number))) if len(rows) > limit else None
    return Page([_event(row) for row in page], more)


def last_change(
    session: Session, company: str | None, subject: str, actions: Collection[str] = ()
) -> AuditEvent | None:
    """What happened last to the record *subject* (an id) of a company; None if nothing did.

    Args:
        actions: only these, where more than one thing about the record can change; none is any.
    """
    if not storable(subject):
        return None
    table = audit_events.c
    wanted = [table.company_id == company, table.subject_id == subject]
    if actions:
        wanted.append(table.action.in_(actions))
    row = session.execute(
        select(audit_events).where(*wanted).order_by(table.at.desc(), table.number.desc()).limit(1)
    ).one_or_none()
    return None if row is None else _event(row)


def sentence(event: AuditEvent) -> str:
    """The event in words: "Ada Lovelace deactivated the access token Nightly settlement"."""
    actor = event.actor_name
    if event.actor_kind == "token":
        actor = f"{actor}, with {event.actor_credential},"
    what = _SENTENCES.get(event.action)
    if what is None:
        noun, _, verb = event.action.partition(".")
        what = f"{{actor}} {verb.replace('_', ' ')} the {noun.replace('_', ' ')} {{subject}}"
    changed = ", ".join(name.replace("_", " ") for name in event.after or ())
    return what.format(actor=actor, subject=event.subject.name, changed=changed or "settings")


_SENTENCES = {
    "access_token.modified": "{actor} changed the {changed} of the access token {subject}",
    "allowlist.changed": "{actor} changed the allowlist of {subject}",
    "allowlist.lifted": "{actor} lifted the allowlist of {subject}",
    "authentication.created": "{actor} signed in",
    "authentication.ended": "{actor} signed out",
    "authentication.deactivated": "{actor} deactivated a sign-in of {subject}",
    "authentication.refused": "A sign-in as {subject} failed",
    "catalogue.changed": "The roles of {subject} follow a changed catalogue",
}


def _number(after: Cursor) -> int:
    if not after.id.isdecimal() or len(after.id) > 18:
        raise InvalidInput([("cursor", "This cursor is of another list.")])
    return int(after.id)


def _event(row: Row[Any]) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        company=row.company_id,
        at=row.at,
        actor_kind=row.actor_kind,
        actor_id=row.actor_id,
        actor_name=row.actor_name,
        actor_credential=row.actor_credential,
        address=row.address,
        action=row.action,
        subject=Subject(row.subject_kind, row.subject_id, row.subject_name),
        before=row.before,
        after=row.after,
    )
