"""Authentication records: stored rows, what API and pages show, published grants."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, select

from gatepass.core.credentials import NewCredential
from gatepass.core.grants import Grant
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication.throttling import source_of
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import publish
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import record_of, status_of
from gatepass.registry.storage.tables import authentications, users

_LONGEST_USER_AGENT = 300

#: Authentications with their users' names.
STORED = select(authentications, users.c.name.label("user_name")).join(
    users, users.c.id == authentications.c.user_id
)


@dataclass(frozen=True, slots=True)
class Authentication:
    """One sign-in. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its login token.
        company: the user's.
        address: the source address; None if it is unknown.
        current: whether the actor is using it.
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


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """The OIDC provider's part in a sign-in.

    Attributes:
        id: of the provider's session, which its logout names; None if it gave none.
        second_factor: whether it says that it checked a second factor.
    """

    id: str | None
    second_factor: bool


def begin(
    change: Change,
    user: User,
    credential: NewCredential,
    *,
    lifetime_ms: int,
    address: str | None,
    user_agent: str | None,
    provider: ProviderSession | None = None,
) -> Authentication:
    """Record a sign-in of *user*. Verifies nothing.

    Only sign-ins with a password and with the provider may call it, the acceptance of an
    invitation, and the demo, which discards the login token's text.

    Args:
        credential: the login token.
        lifetime_ms: of the login token.
        provider: None for a sign-in with a password.
    """
    now = change.now
    values: dict[str, Any] = {
        "id": credential.id,
        "company_id": user.company,
        "user_id": user.id,
        "digest": credential.digest,
        "created_at": now,
        "expires_at": now + lifetime_ms,
        "address": address,
        "source": source_of(address),
        "user_agent": _plain(user_agent),
        "provider_session": provider and provider.id,
        "provider_second_factor": provider and provider.second_factor,
    }
    change.session.execute(insert(authentications), values)
    row = change.session.execute(STORED.where(authentications.c.id == credential.id)).one()
    publish(change, grant_of(row))
    actor = Actor("user", user.company, user.id, user.name, frozenset(), credential.id, address)
    subject, after = Subject("authentication", row.id, user.name), {"expires_at": row.expires_at}
    log.record(change, actor, "authentication.created", subject, company=user.company, after=after)
    return authentication_of(row, now, actor)


def authentication_of(row: Row[Any], now: int, actor: Actor) -> Authentication:
    """A row of ``STORED`` as *actor* sees it at *now* (Unix ms)."""
    return record_of(
        Authentication,
        row,
        company=row.company_id,
        user=Person(row.user_id, row.user_name),
        status=status_of(row, now),
        current=row.id == actor.credential,
    )


def grant_of(row: Row[Any]) -> Grant:
    """The grant of a row, as decisions read it."""
    return Grant(
        id=row.id,
        digest=row.digest,
        kind="login",
        company=row.company_id,
        user=row.user_id,
        label="",
        permissions=frozenset(),
        networks=None,
        domains=(),
        expires_at=row.expires_at,
        deactivated=row.deactivated_at is not None,
        issued_at=row.created_at // 1000,
    )


def _plain(user_agent: str | None) -> str | None:
    """A User-Agent header, printable and truncated, because a header can hold anything."""
    if user_agent is None:
        return None
    return "".join(sign for sign in user_agent if sign.isprintable())[:_LONGEST_USER_AGENT]
