"""The audit log: who did what, when, from where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from gatepass.registry.actor import Actor
from gatepass.registry.paging import Page


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
    """Write an event in the transaction of the change it tells of."""
    raise NotImplementedError


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
    """The company's events, newest first; needs ``audit:get``."""
    raise NotImplementedError


def sentence(event: AuditEvent) -> str:
    """The event in words: "Ada Lovelace deactivated the access token Nightly settlement"."""
    raise NotImplementedError
