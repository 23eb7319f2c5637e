"""Access token records, and the grants that derive from them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, RowMapping, func, select

from gatepass.core.grants import EXTERNAL, USER, Grant, Rehearsal, external_role
from gatepass.core.networks import Networks, parse_network
from gatepass.core.permissions import effective
from gatepass.core.reason import Reason
from gatepass.registry.actor import Person
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.rows import deactivated_by, record_of, status_of
from gatepass.registry.storage.tables import access_tokens, owners, token_use, users
from gatepass.registry.tokens.approval_records import Approval, approval_of
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.exception_records import TokenException, exceptions_of, granted
from gatepass.registry.tokens.input import CHANGEABLE
from gatepass.registry.tokens.rotation_records import Rotation, of_new_token, rotations

TokenStatus = Literal["active", "pending", "expired", "deactivated"]

_maker, _user = users.alias("maker"), users.alias("owning_user")

#: Access tokens with their owners, their creators and their last use.
STORED = (
    select(
        access_tokens,
        func.coalesce(_maker.c.name, access_tokens.c.created_by_name).label("maker_name"),
        func.coalesce(owners.c.type, USER).label("owner_type"),
        func.coalesce(owners.c.name, _user.c.name).label("owner_name"),
        func.coalesce(owners.c.role, _user.c.role).label("owner_role"),
        owners.c.external_id.label("owner_external_id"),
        token_use.c.last_at,
        token_use.c.last_address,
        token_use.c.last_permission,
    )
    .outerjoin(_maker, _maker.c.id == access_tokens.c.created_by)
    .outerjoin(_user, _user.c.id == access_tokens.c.owner_id)
    .outerjoin(owners, owners.c.id == access_tokens.c.owner_id)
    .outerjoin(token_use, token_use.c.token_id == access_tokens.c.id)
)


@dataclass(frozen=True, slots=True)
class LastUse:
    """The last use of a token: time (Unix ms), client address and permission."""

    at: int
    address: str | None
    permission: str | None


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """The owner of a token.

    Attributes:
        type: ``user``, ``service_account`` or ``external``.
        external_id: the id it has in another product; None if it has none.
    """

    type: str
    id: str
    external_id: str | None
    name: str


@dataclass(frozen=True, slots=True)
class RunningRehearsal:
    """A rehearsal of a token's deactivation.

    Attributes:
        until: Unix ms.
        share: of the calls that are refused, in percent.
        refused: how many were, a few seconds late.
    """

    until: int
    share: int
    refused: int


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token, without its text and digest. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its text.
        kind: ``api``, ``ui`` or ``decoy``, which has no permissions and no limits.
        imported: whether another system issued its text.
        permissions: as chosen.
        effective_permissions: those of them, and of its exceptions, that its owner's role grants
            now.
        networks: canonical, such as ``203.0.113.0/24``; empty means any address.
        domains: where a ``ui`` token may be used; empty means anywhere.
        metadata: what other programs note of it; keys are sorted.
        external_id: the id that one of them knows it by.
        unused_days: after so many without use it is deactivated (``unused``).
        rotation: None if it replaces no other token and wasn't replaced.
        rehearsal: the one that is running, if any.
        approval: None if it neither has one nor waits for one.
        exceptions: those in effect, the first to end first.
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
    metadata: Mapping[str, str]
    external_id: str | None
    unused_days: int | None
    created_at: int
    owner: TokenOwner
    created_by: Person
    deactivated_at: int | None
    deactivated_by: Person | None
    last_used: LastUse | None
    rotation: Rotation | None
    rehearsal: RunningRehearsal | None
    approval: Approval | None
    imported: bool = False
    exceptions: tuple[TokenException, ...] = ()


def etag(token: AccessToken) -> str:
    """The ETag of a token's editable fields; use and expiry don't change it."""
    fields = (getattr(token, name) for name in CHANGEABLE)
    return etag_of(token.id, *fields, token.deactivated_at)


def tokens_of(reading: Reading, rows: list[Row[Any]]) -> list[AccessToken]:
    """The records of rows of ``STORED``, at ``reading.now`` and with the present roles."""
    rules = {company: published_rules(reading, company) for company in {r.company_id for r in rows}}
    replaced, rehearsed = rotations(reading, rows), _rehearsals(reading, rows)
    return [
        _token(
            row,
            reading.now,
            rules[row.company_id].roles.get(_role_of(row), ()),
            replaced.get(row.id),
            rehearsed.get(row.id),
        )
        for row in rows
    ]


def new_token(
    columns: Mapping[str, Any], owner: TokenOwner, maker: Person, role: Collection[str]
) -> AccessToken:
    """The record of a token that was just created.

    Args:
        columns: its columns.
        role: the permissions of its owner's role.
    """
    return AccessToken(
        id=columns["id"],
        company=columns["company_id"],
        label=columns["label"],
        kind=columns["kind"],
        status="active" if columns.get("pending_since") is None else "pending",
        permissions=tuple(columns["permissions"]),
        effective_permissions=effective(columns["permissions"], role),
        networks=tuple(columns["networks"]),
        domains=tuple(columns["domains"]),
        expires_at=columns["expires_at"],
        metadata=columns["metadata"],
        external_id=columns["external_id"],
        unused_days=columns["unused_days"],
        created_at=columns["created_at"],
        owner=owner,
        created_by=maker,
        deactivated_at=None,
        deactivated_by=None,
        last_used=None,
        rotation=of_new_token(columns.get("replaces")),
        rehearsal=None,
        approval=approval_of(columns),
    )


def grant_of(columns: Mapping[str, Any] | RowMapping) -> Grant:
    """The grant that derives from a token's columns."""
    networks, ended = columns["networks"], columns["deactivated_at"] is not None
    pending = not ended and columns.get("pending_since") is not None
    until = None if ended or pending else columns.get("rehearsal_until")
    rehearsal = None
    if until is not None:
        rehearsal = Rehearsal(columns["rehearsal_start"], until, columns["rehearsal_share"])
    return Grant(
        id=columns["id"],
        digest=columns["digest"],
        kind=columns["kind"],
        company=columns["company_id"],
        user=columns["owner_id"],
        label=columns["label"],
        permissions=frozenset(columns["permissions"]),
        networks=Networks.of(map(parse_network, networks)) if networks else None,
        domains=tuple(columns["domains"]),
        expires_at=columns["expires_at"],
        deactivated=ended or pending or rehearsal is not None,
        metadata=columns["metadata"] or None,
        external_id=columns["external_id"],
        rehearsal=rehearsal,
        pending=pending,
        issued_at=columns["created_at"] // 1000,
        exceptions=granted(columns),
    )


def _status(row: Row[Any], now: int) -> TokenStatus:
    status = status_of(row, now)
    return "pending" if status == "active" and row.pending_since is not None else status


def _rehearsals(reading: Reading, rows: Collection[Row[Any]]) -> dict[str, RunningRehearsal]:
    """Those that are running, by token id."""
    now = reading.now
    running = [
        row
        for row in rows
        if row.rehearsal_until is not None
        and now < row.rehearsal_until
        and _status(row, now) == "active"
    ]
    refused = observed_calls.totals(
        reading, [row.id for row in running], Reason.token_rehearsed.value
    )
    return {
        row.id: RunningRehearsal(
            row.rehearsal_until,
            row.rehearsal_share,
            refused[row.id] - row.rehearsal_refused_before,
        )
        for row in running
    }


def _role_of(row: Row[Any]) -> str:
    role: str = row.owner_role
    return external_role(role) if row.owner_type == EXTERNAL else role


def _token(
    row: Row[Any],
    now: int,
    role: Any,
    rotation: Rotation | None,
    rehearsal: RunningRehearsal | None,
) -> AccessToken:
    used = row.last_at is not None
    exceptions = exceptions_of(row._mapping, now)
    held = (*row.permissions, *(each.permission for each in exceptions))
    return record_of(
        AccessToken,
        row,
        company=row.company_id,
        status=_status(row, now),
        permissions=tuple(row.permissions),
        effective_permissions=effective(held, role),
        exceptions=exceptions,
        networks=tuple(row.networks),
        domains=tuple(row.domains),
        owner=TokenOwner(row.owner_type, row.owner_id, row.owner_external_id, row.owner_name),
        created_by=Person(row.created_by, row.maker_name),
        deactivated_by=deactivated_by(row),
        imported=row.imported_prefix is not None,
        last_used=LastUse(row.last_at, row.last_address, row.last_permission) if used else None,
        rotation=rotation,
        rehearsal=rehearsal,
        approval=approval_of(row._mapping),
    )
