"""Companies: the accounts that own everything else."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Row, insert, select
from sqlalchemy.orm import Session

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.errors import Conflict, NotFound
from gatepass.core.grants import CompanyRules
from gatepass.registry import audit
from gatepass.registry.actor import Actor
from gatepass.registry.audit import Subject
from gatepass.registry.fields import folded, read_label, storable
from gatepass.registry.publishing import publish, role_permissions
from gatepass.registry.standing import standing
from gatepass.registry.tables import companies


@dataclass(frozen=True, slots=True)
class Company:
    """One company. ``created_at`` is Unix ms."""

    id: str
    name: str
    status: Literal["active", "deactivated"]
    created_at: int


def create(session: Session, actor: Actor, *, catalogue: Catalogue, name: str) -> Company:
    """Make a company. Operators only.

    Raises:
        InvalidInput: for ``name``; 1–100 characters without control characters.
        Conflict: ``name_taken``; names are unique in an installation, compared without case.
    """
    actor.require_signed_in()
    actor = standing(session, actor)
    actor.require_operator()
    read_label("name", name)
    if by_name(session, name) is not None:
        raise Conflict(f"There is a company {name} already.", reason="name_taken")
    company = Company(new_id("com"), name, "active", session.info["now"])
    session.execute(
        insert(companies),
        {
            "id": company.id,
            "name": name,
            "name_folded": folded(name),
            "created_at": company.created_at,
        },
    )
    permissions = role_permissions(session, catalogue, company.id)
    publish(session, CompanyRules(company.id, True, None, permissions))
    audit.record(
        session,
        actor,
        "company.created",
        Subject("company", company.id, name),
        company=company.id,
        after={"name": name},
    )
    return company


def get(session: Session, company_id: str) -> Company:
    """One company.

    Raises:
        NotFound: there is none of that id.
    """
    found = select(companies).where(companies.c.id == company_id)
    row = session.execute(found).one_or_none() if storable(company_id) else None
    if row is None:
        raise NotFound("There is no such company.")
    return _company(row)


def by_name(session: Session, name: str) -> Company | None:
    """The company of that name, compared without case."""
    found = select(companies).where(companies.c.name_folded == folded(name))
    row = session.execute(found).one_or_none() if storable(name) else None
    return None if row is None else _company(row)


def any_exist(session: Session) -> bool:
    """Whether there is a company at all; the first one's administrator looks after the whole."""
    return session.execute(select(companies.c.id).limit(1)).first() is not None


def _company(row: Row[tuple[object, ...]]) -> Company:
    status: Literal["active", "deactivated"] = (
        "active" if row.deactivated_at is None else "deactivated"
    )
    return Company(row.id, row.name, status, row.created_at)
