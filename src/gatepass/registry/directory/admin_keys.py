"""Admin keys: the credentials with which a platform's backend manages companies.

Only operators and the command line create them; no admin key makes another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, insert, select

from gatepass.core.credentials import ADMIN_KEY, make
from gatepass.core.grants import Grant
from gatepass.core.networks import Networks, parse_network
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import companies, portal_sessions
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.expiry import read_expiry
from gatepass.registry.input.networks import read_networks
from gatepass.registry.input.text import Problems, label_problem, read_items
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.rows import (
    deactivated_by,
    find,
    mark_deactivated,
    record_of,
    status_of,
)
from gatepass.registry.storage.tables import admin_keys

#: What an admin key may be permitted, each a group of endpoints.
AREAS = ("companies", "owners", "tokens", "portal", "verifiers")


@dataclass(frozen=True, slots=True)
class AdminKey:
    """One admin key, without its text. Times are Unix ms.

    Attributes:
        id: the first 21 characters of its text.
        company: the id of the company it is limited to; None is no limit.
        permissions: of ``AREAS``, never empty.
        networks: where it may be used; empty is anywhere.
    """

    id: str
    label: str
    status: Literal["active", "expired", "deactivated"]
    company: str | None
    permissions: Sequence[str]
    networks: Sequence[str]
    expires_at: int | None
    created_at: int
    created_by: Person
    deactivated_at: int | None
    deactivated_by: Person | None


def create(
    change: Change,
    actor: Actor,
    *,
    label: str,
    company: str | None = None,
    permissions: Sequence[str] = (),
    networks: Sequence[str] = (),
    expires_at: int | None = None,
) -> tuple[AdminKey, str]:
    """Create a key. Its text is returned only here.

    Args:
        company: the id of the only company that it may manage; None is all.
        permissions: of ``AREAS``; none of them is all.
        networks: where it may be used; none is anywhere.
        expires_at: Unix ms; None is never.

    Raises:
        Forbidden: ``operator_required``, ``signed_in_user_required``, or ``admin_key``.
        InvalidInput: for any field; a company that isn't active is one.
    """
    actor = acting(change, actor, person=True, operator=True)
    problems = Problems()
    problem = label_problem(label)
    if problem is not None:
        problems.add("label", problem)
    values = {
        "label": label,
        "company_id": company,
        "permissions": _read_areas(permissions, problems) or list(AREAS),
        "networks": read_networks(networks, problems),
        "expires_at": read_expiry(expires_at, change.now, problems),
    }
    if company is not None and not companies.is_active(change, company):
        problems.add("company", "Must be an active company.")
    problems.settle()
    credential = make(ADMIN_KEY)
    change.session.execute(
        insert(admin_keys),
        {
            **values,
            "id": credential.id,
            "digest": credential.digest,
            "created_at": change.now,
            "created_by": actor.user,
            "created_by_name": actor.name,
        },
    )
    row = _find(change, credential.id)
    publish(change, _grant(row))
    fields = ("label", "permissions", "networks", "expires_at")
    _record(change, actor, "created", row, after={name: values[name] for name in fields})
    return _key(row, change.now), credential.text


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[AdminKey]:
    """A page of the installation's admin keys, newest first.

    Raises:
        Forbidden: ``operator_required``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_operator()
    page, more = newest_first(reading, select(admin_keys), admin_keys, limit=limit, cursor=cursor)
    return Page([_key(row, reading.now) for row in page], more)


def get(reading: Reading, actor: Actor, key_id: str) -> AdminKey:
    """One admin key.

    Raises:
        Forbidden: ``operator_required``.
        NotFound: there is none of that id.
    """
    actor.require_operator()
    return _key(_find(reading, key_id), reading.now)


def deactivate(change: Change, actor: Actor, key_id: str) -> AdminKey:
    """Deactivate a key for good, with the portal sessions that it opened. Idempotent.

    Raises:
        Forbidden: ``operator_required``, ``signed_in_user_required``, or ``admin_key``.
        NotFound: there is none of that id.
    """
    actor = acting(change, actor, person=True, operator=True)
    return end(change, actor, key_id)


def end(change: Change, actor: Actor, key_id: str) -> AdminKey:
    """As ``deactivate``. Performs no permission check; the caller must have done it.

    Raises:
        NotFound: there is none of that id.
    """
    row = _find(change, key_id)
    if row.deactivated_at is not None:
        return _key(row, change.now)
    mark_deactivated(change, actor, admin_keys, admin_keys.c.id == key_id)
    row = _find(change, key_id)
    publish(change, _grant(row))
    before, after = {"deactivated_at": None}, {"deactivated_at": row.deactivated_at}
    _record(change, actor, "deactivated", row, before=before, after=after)
    portal_sessions.end_opened_by(change, actor, key_id)
    # Its company sees no receipts of it, as it sees none of its events.
    receipts.begin(change, [_subject(row)], company=None, embedded_too=False)
    return _key(row, change.now)


def _read_areas(value: object, problems: Problems) -> list[str]:
    items = read_items("permissions", value, len(AREAS), problems)
    for number, item in enumerate(items):
        if item not in AREAS:
            problems.add(f"permissions.{number}", f"Must be one of {', '.join(AREAS)}.")
    return [area for area in AREAS if area in items]


def _find(reading: Reading, key_id: str) -> Row[Any]:
    rows = select(admin_keys).where(admin_keys.c.id == key_id)
    return find(reading, rows, key_id, "admin key")


def _record(
    change: Change, actor: Actor, verb: str, row: Row[Any], **fields: dict[str, Any]
) -> None:
    # Keys belong to the installation; what they do is in the companies' logs.
    log.record(change, actor, f"admin_key.{verb}", _subject(row), company=None, **fields)


def _subject(row: Row[Any]) -> Subject:
    return Subject("admin_key", row.id, row.label)


def _key(row: Row[Any], now: int) -> AdminKey:
    return record_of(
        AdminKey,
        row,
        status=status_of(row, now),
        company=row.company_id,
        created_by=Person(row.created_by, row.created_by_name),
        deactivated_by=deactivated_by(row),
    )


def _grant(row: Row[Any]) -> Grant:
    networks = [parse_network(text) for text in row.networks]
    return Grant(
        id=row.id,
        digest=row.digest,
        kind="admin",
        company=row.company_id or "",
        user="",
        label=row.label,
        permissions=frozenset(row.permissions),
        networks=Networks.of(networks) if networks else None,
        domains=(),
        expires_at=row.expires_at,
        deactivated=row.deactivated_at is not None,
    )
