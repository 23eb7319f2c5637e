"""Access tokens: make, find, change, deactivate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from gatepass.core.catalogue import Catalogue
from gatepass.registry.actor import Actor, Person
from gatepass.registry.paging import Page

TokenStatus = Literal["active", "expired", "deactivated"]


@dataclass(frozen=True, slots=True)
class LastUse:
    """When a token was last used (Unix ms), from which address, for which permission."""

    at: int
    address: str | None
    permission: str | None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """One access token as people see it; never its text or digest. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its text.
        kind: ``api`` or ``ui``.
        permissions: what was chosen.
        effective_permissions: what counts of it under its maker's role now.
        networks: canonical, such as ``203.0.113.0/24``; none means from anywhere.
        domains: where a ``ui`` token may be used; none means anywhere.
    """

    id: str
    company: str
    label: str
    kind: str
    status: TokenStatus
    permissions: tuple[str, ...]
    effective_permissions: tuple[str, ...]
    networks: tuple[str, ...]
    domains: tuple[str, ...]
    expires_at: int | None
    created_at: int
    created_by: Person
    deactivated_at: int | None
    deactivated_by: Person | None
    last_used: LastUse | None


def create(
    session: Session,
    actor: Actor,
    *,
    catalogue: Catalogue,
    label: str,
    kind: str,
    permissions: Sequence[str],
    expires_at: int | None = None,
    networks: Sequence[str] = (),
    domains: Sequence[str] = (),
    form_id: str | None = None,
) -> tuple[AccessToken, str]:
    """Make a token; its text is returned here and nowhere else, ever."""
    raise NotImplementedError


def get(session: Session, actor: Actor, token_id: str) -> AccessToken:
    """One token of the actor's company."""
    raise NotImplementedError


def list_(
    session: Session,
    actor: Actor,
    *,
    q: str | None = None,
    status: str | None = None,
    permission: str | None = None,
    kind: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[AccessToken]:
    """The company's tokens, newest first."""
    raise NotImplementedError


def modify(
    session: Session,
    actor: Actor,
    token_id: str,
    *,
    catalogue: Catalogue,
    changes: Mapping[str, object],
    if_match: str | None = None,
) -> AccessToken:
    """Change label, networks, domains, permissions, expires_at (those that *changes* names)."""
    raise NotImplementedError


def deactivate(session: Session, actor: Actor, token_id: str) -> AccessToken:
    """End a token for good. Repeating it changes nothing."""
    raise NotImplementedError


def etag(token: AccessToken) -> str:
    """The record's version, quoted, as the ETag header carries it."""
    raise NotImplementedError
