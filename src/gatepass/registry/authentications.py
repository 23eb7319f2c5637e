"""Authentications: each sign-in, with its login token."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from gatepass.registry.actor import Actor, Person
from gatepass.registry.database import Database
from gatepass.registry.paging import Page
from gatepass.registry.passwords import Hasher


@dataclass(frozen=True, slots=True)
class Authentication:
    """One sign-in. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its login token.
        company: the user's.
        address: where it came from; None if that could not be told.
        current: it is the one the actor is using.
    """

    id: str
    company: str
    user: Person
    status: Literal["active", "expired", "deactivated"]
    created_at: int
    expires_at: int
    address: str | None
    user_agent: str | None
    current: bool
    deactivated_at: int | None


def sign_in(
    database: Database,
    *,
    email: str,
    password: str,
    code: str | None = None,
    address: str | None,
    user_agent: str | None,
    now: Callable[[], int],
    lifetime_ms: int,
    hasher: Hasher | None = None,
) -> tuple[Authentication, str]:
    """Sign in: the record, and the login token's text. Raises SignInFailed, TooManyAttempts."""
    raise NotImplementedError


def list_(
    session: Session,
    actor: Actor,
    *,
    user: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Authentication]:
    """One's own; *user* an id or ``all`` with ``users:manage``."""
    raise NotImplementedError


def get(session: Session, actor: Actor, authentication_id: str) -> Authentication:
    """One's own, or with ``users:manage`` anyone's of the company."""
    raise NotImplementedError


def deactivate(session: Session, actor: Actor, authentication_id: str) -> Authentication:
    """End one's own, or with ``users:manage`` anyone's. Repeating it changes nothing."""
    raise NotImplementedError


def sign_out(session: Session, actor: Actor) -> None:
    """End the authentication in use."""
    raise NotImplementedError
