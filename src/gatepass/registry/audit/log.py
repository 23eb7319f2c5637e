"""Writing the audit log."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from gatepass.core.catalogue import BUILT_IN_ROLES
from gatepass.core.credentials import new_id
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit.events import STORED, AuditEvent, event_of
from gatepass.registry.audit.webhook_events import write_events
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.ended_log import REVOCATION_ACTIONS
from gatepass.registry.storage.tables import audit_events, roles


def record(
    write: Write,
    actor: Actor,
    action: str,
    subject: Subject,
    *,
    company: str | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write an audit event in the transaction of its change.

    Args:
        company: the company whose log it belongs to; None is the installation's, which no company
            sees.
        before, after: the changed fields, as JSON; never a secret or a digest. A role's present
            name is added: it may be renamed or deleted later.
    """
    record_each(write, actor, action, [subject], company=company, before=before, after=after)


def record_each(
    write: Write,
    actor: Actor,
    action: str,
    subjects: Sequence[Subject],
    *,
    company: str | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    own: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write an audit event for each of *subjects*, with the same action and fields.

    Revocations are recorded for ``ended.log`` here, so that the two logs can't differ; so are
    the events for webhooks.

    Args:
        own: of each subject, what its ``after`` has as well.
    """
    if action in REVOCATION_ACTIONS:
        # ``ended.log`` holds the revision, which only a Change has.
        assert isinstance(write, Change)
        write.end(subjects, by=actor)
    before, after = _with_role_name(write, before), _with_role_name(write, after)
    if actor.cause:
        after = {**(after or {}), "cause": actor.cause}
    events = [
        {
            "id": new_id("evt"),
            "company_id": company,
            "at": write.now,
            "actor_kind": actor.kind,
            "actor_id": actor.user,
            "actor_name": actor.audited_name,
            "actor_credential": actor.credential,
            "address": actor.address,
            "action": action,
            "subject_kind": subject.kind,
            "subject_id": subject.id,
            "subject_name": subject.name,
            "before": before,
            "after": {**(after or {}), **own[number]} if own else after,
        }
        for number, subject in enumerate(subjects)
    ]
    write.session.execute(insert(audit_events), events)
    write_events(write, events)


def last_change(
    reading: Reading, company: str | None, subject: str, actions: Collection[str] = ()
) -> AuditEvent | None:
    """The latest event of the record *subject* (an id) of a company; None if there is none.

    Args:
        actions: only these actions; empty means all.
    """
    if not storable(subject):
        return None
    table = audit_events.c
    wanted = [table.company_id == company, table.subject_id == subject]
    if actions:
        wanted.append(table.action.in_(actions))
    row = reading.session.execute(
        STORED.where(*wanted).order_by(table.at.desc(), table.number.desc()).limit(1)
    ).one_or_none()
    return None if row is None else event_of(row)


def _with_role_name(reading: Reading, fields: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if fields is None or not isinstance(fields.get("role"), str):
        return fields
    name = _BUILT_IN.get(fields["role"]) or reading.session.scalar(
        select(roles.c.name).where(roles.c.id == fields["role"])
    )
    return {"role_name": name, **fields}


_BUILT_IN = {role.id: role.name for role in BUILT_IN_ROLES}
