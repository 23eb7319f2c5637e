"""Deactivating a company, and so all that it owns.

It takes effect on the next call of all its tokens: decisions read it from one row (its rules).
"""

from dataclasses import replace

import msgspec
from sqlalchemy import ColumnElement, Select, select

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.directory import portal_sessions
from gatepass.registry.directory.companies import Company, find, freed_name, record
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, published_rules
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import mark_deactivated, update_row
from gatepass.registry.storage.tables import companies, users


def deactivate(change: Change, actor: Actor, reference: str) -> Company:
    """Deactivate a company for good, and so all that it owns. Idempotent.

    Its name and external id can be used again. Portal sessions that its operators opened end, too.

    Args:
        reference: as for ``find``.

    Raises:
        Forbidden: as ``acting`` says for the area ``companies``.
        NotFound: as ``find`` says.
        Conflict: ``last_operator``: no other company has an active operator.
    """
    actor = acting(change, actor, area="companies")
    company = find(change, actor, reference)
    if company.status != "active":
        return company
    elsewhere = _operators(
        users.c.company_id != company.id,
        users.c.company_id == companies.c.id,
        companies.c.deactivated_at.is_(None),
    )
    # The command line can appoint another operator at any time.
    if actor.kind != "command line" and change.session.execute(elsewhere.limit(1)).first() is None:
        raise Conflict(
            "The installation's last operators belong to this company.", reason="last_operator"
        )
    mark_deactivated(change, actor, companies, companies.c.id == company.id)
    update_row(change, companies, company.id, name_folded=freed_name(company.name, company.id))
    publish(change, msgspec.structs.replace(published_rules(change, company.id), active=False))
    before, after = {"deactivated_at": None}, {"deactivated_at": change.now}
    ended = replace(company, status="deactivated")
    record(change, actor, "deactivated", ended, before=before, after=after)
    its_users = users.c.company_id == company.id
    for operator in change.session.scalars(_operators(its_users)).all():
        portal_sessions.end_opened_by(change, actor, operator)
    subject = Subject("company", company.id, company.name)
    receipts.begin(change, [subject], company=company.id)
    return ended


def _operators(*more: ColumnElement[bool]) -> Select[str]:
    active = (users.c.operator, users.c.deactivated_at.is_(None))
    return select(users.c.id).where(*active, *more)
