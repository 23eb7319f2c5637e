"""The record of an audit event."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from gatepass.registry.actor import Subject
from gatepass.registry.storage.rows import record_of
from gatepass.registry.storage.tables import access_tokens, audit_events

#: Events, with the present label of the access token in use.
STORED = select(audit_events, access_tokens.c.label.label("token_label")).outerjoin(
    access_tokens, access_tokens.c.id == audit_events.c.actor_credential
)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """An audit event. ``at`` is Unix ms.

    Attributes:
        action: such as ``access_token.created``.
        actor_kind: ``user``, ``token``, ``admin_key``, ``portal_session``, ``command line`` or
            ``system``.
        actor_id: id of the user (for a token or a portal session, of its owner); None for an admin
            key, the command line and the system.
        actor_credential: id of the access token, admin key, portal session or authentication in
            use.
        token_label: the present label of the access token in use; None without one.
        before, after: the changed fields; never a secret or a digest.
    """

    id: str
    company: str | None
    at: int
    actor_kind: str
    actor_id: str | None
    actor_name: str
    actor_credential: str | None
    token_label: str | None
    address: str | None
    action: str
    subject: Subject
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def event_of(row: Row[Any]) -> AuditEvent:
    """The event of a row of ``STORED``."""
    return record_of(
        AuditEvent,
        row,
        company=row.company_id,
        subject=Subject(row.subject_kind, row.subject_id, row.subject_name),
    )
