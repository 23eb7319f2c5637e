"""Bulk revocation: many records, their published grants, and audit events."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, literal, null, select, update

from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.backup.revocation_state import KINDS
from gatepass.registry.directory import companies as companies_directory
from gatepass.registry.grants import publishing
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import (
    access_tokens,
    admin_keys,
    authentications,
    companies,
    invitations,
    owners,
    portal_sessions,
    users,
    verifier_keys,
)
from gatepass.registry.tokens.calls import recency

_BATCH = 500

#: For the audit log, by kind: the name and the company of a record.
_NAME_AND_COMPANY: dict[str, tuple[ColumnElement[Any], ColumnElement[Any]]] = {
    "company": (companies.c.name, companies.c.id),
    "user": (users.c.name, users.c.company_id),
    "owner": (owners.c.name, owners.c.company_id),
    "access_token": (access_tokens.c.label, access_tokens.c.company_id),
    "authentication": (
        select(users.c.name).where(users.c.id == authentications.c.user_id).scalar_subquery(),
        authentications.c.company_id,
    ),
    "verifier_key": (verifier_keys.c.label, null()),
    "admin_key": (admin_keys.c.label, null()),
    "portal_session": (
        select(owners.c.name).where(owners.c.id == portal_sessions.c.owner_id).scalar_subquery(),
        portal_sessions.c.company_id,
    ),
    "invitation": (invitations.c.email, invitations.c.company_id),
}


def revoke(
    change: Change,
    actor: Actor,
    kind: str,
    conditions: list[ColumnElement[bool]],
    values: dict[str, Any],
) -> int:
    """Revoke the active records of a kind that match *conditions*, and return their number.

    Args:
        values: for the columns ``deactivated_at``, ``deactivated_by`` and ``deactivated_by_name``:
            values, or columns of tables that *conditions* join.
    """
    table = KINDS[kind]
    conditions = [*conditions, table.c.deactivated_at.is_(None)]
    if kind == "invitation":
        conditions.append(invitations.c.accepted_at.is_(None))
    name, company = _NAME_AND_COMPANY[kind]
    at = values["deactivated_at"]
    query = select(
        table.c.id,
        name.label("name"),
        company.label("company"),
        (at if isinstance(at, ColumnElement) else literal(at)).label("at"),
    )
    found = change.session.execute(query.where(*conditions).order_by(table.c.id)).all()
    change.session.execute(update(table).where(*conditions).values(values))
    _publish(change, kind, [row.id for row in found])
    groups: dict[tuple[str | None, int], list[Subject]] = {}
    for row in found:
        groups.setdefault((row.company, row.at), []).append(Subject(kind, row.id, row.name))
    for (of_company, revoked_at), subjects in groups.items():
        log.record_each(
            change,
            actor,
            f"{kind}.deactivated",
            subjects,
            company=of_company,
            before={"deactivated_at": None},
            after={"deactivated_at": revoked_at, "restored": True},
        )
    return len(found)


def _publish(change: Change, kind: str, ids: Sequence[str]) -> None:
    if kind == "company":
        for company in ids:
            rules = publishing.published_rules(change, company)
            name = companies_directory.get(change, company).name
            freed = companies_directory.freed_name(name, company)
            update_row(change, companies, company, name_folded=freed)
            publishing.publish(change, msgspec.structs.replace(rules, active=False))
    elif kind in ("user", "owner"):
        for owner in ids:
            holder = publishing.published_holder(change, owner)
            if holder is not None:
                publishing.publish(change, msgspec.structs.replace(holder, active=False))
    elif kind != "invitation":
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            publishing.deactivate_grants(change, batch)
            if kind == "access_token":
                recency.set_life(change, batch, "deactivated")
