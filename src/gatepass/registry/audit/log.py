"""The audit log: who did what, when, from where."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from gatepass.core.catalogue import BUILT_IN_ROLES
from gatepass.core.credentials import new_id
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit.events import STORED, AuditEvent, event_of
from gatepass.registry.input.text import storable
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.ended_log import ENDINGS
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
    """Write an event in the transaction of the change it tells of.

    Args:
        company: whose log it belongs to; None is the installation's own, which no company sees.
        before, after: the fields that changed, as JSON; never a secret or a digest. A role is told
            by the name it has now, too: it may be called otherwise later, or be gone.
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
) -> None:
    """Write an event for each of *subjects*, to all of which the same was done.

    What ended is noted for ``ended.log`` here, so that the two can't tell different things.
    """
    if action in ENDINGS:
        # ``ended.log`` names the revision, which only a change has.
        assert isinstance(write, Change)
        write.end(subjects, by=actor)
    before_told, after_told = _told(write, before), _told(write, after)
    write.session.execute(
        insert(audit_events),
        [
            {
                "id": new_id("evt"),
                "company_id": company,
                "at": write.now,
                "actor_kind": actor.kind,
                "actor_id": actor.user,
                "actor_name": actor.name,
                "actor_credential": actor.credential,
                "address": actor.address,
                "action": action,
                "subject_kind": subject.kind,
                "subject_id": subject.id,
                "subject_name": subject.name,
                "before": before_told,
                "after": after_told,
            }
            for subject in subjects
        ],
    )


def last_change(
    reading: Reading, company: str | None, subject: str, actions: Collection[str] = ()
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
    row = reading.session.execute(
        STORED.where(*wanted).order_by(table.at.desc(), table.number.desc()).limit(1)
    ).one_or_none()
    return None if row is None else event_of(row)


def _told(reading: Reading, fields: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if fields is None or not isinstance(fields.get("role"), str):
        return None if fields is None else dict(fields)
    name = _BUILT_IN.get(fields["role"]) or reading.session.scalar(
        select(roles.c.name).where(roles.c.id == fields["role"])
    )
    return {"role_name": name, **fields}


_BUILT_IN = {role.id: role.name for role in BUILT_IN_ROLES}
