"""Companies: the accounts that own everything else."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Row, exists, insert, select, update

from gatepass.core.catalogue import ADMIN, Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, NotFound
from gatepass.core.grants import CompanyRules
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.published_roles import role_permissions
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.text import folded, read_label, storable
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.tables import companies, users


@dataclass(frozen=True, slots=True)
class Company:
    """One company. ``created_at`` is Unix ms.

    Attributes:
        second_factor_required: of everyone who signs in (see ``second_factor_rule``).
    """

    id: str
    name: str
    status: Literal["active", "deactivated"]
    created_at: int
    second_factor_required: bool = False


def create(change: Change, actor: Actor, *, catalogue: Catalogue, name: str) -> Company:
    """Make a company. Operators only.

    Raises:
        InvalidInput: for ``name``; 1–100 characters without control characters.
        Conflict: ``name_taken``; names are unique in an installation, compared without case.
    """
    actor = acting(change, actor, person=True, operator=True)
    read_label("name", name)
    if by_name(change, name) is not None:
        raise Conflict(f"A company named {isolated(name)} already exists.", reason="name_taken")
    company = Company(new_id("com"), name, "active", change.now)
    change.session.execute(
        insert(companies),
        {
            "id": company.id,
            "name": name,
            "name_folded": folded(name),
            "created_at": company.created_at,
        },
    )
    permissions = role_permissions(change, catalogue, company.id)
    publish(change, CompanyRules(company.id, True, None, permissions))
    log.record(
        change,
        actor,
        "company.created",
        Subject("company", company.id, name),
        company=company.id,
        after={"name": name},
    )
    return company


def get(reading: Reading, company_id: str) -> Company:
    """One company.

    Raises:
        NotFound: there is none of that id.
    """
    found = select(companies).where(companies.c.id == company_id)
    row = reading.session.execute(found).one_or_none() if storable(company_id) else None
    if row is None:
        raise NotFound("There is no such company.")
    return _company(row)


def etag(company: Company) -> str:
    """Names the version of a company that people see and change."""
    return etag_of(company.id, company.name, company.second_factor_required)


def own(reading: Reading, actor: Actor) -> Company:
    """The actor's company.

    Raises:
        Forbidden: without ``company:get``.
    """
    actor.require("company:get")
    return get(reading, actor.company or "")


def rename(
    change: Change, actor: Actor, *, name: str, if_match: Collection[str] | None = None
) -> Company:
    """Give the actor's company another name. The same one again changes nothing.

    Args:
        if_match: the versions (``etag``) it may be changed from; None is any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:modify``.
        InvalidInput: for ``name``.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``name_taken``.
    """
    actor = acting(change, actor, "company:modify", person=True)
    company = get(change, actor.company or "")
    require_unchanged(company, if_match)
    read_label("name", name)
    taken = by_name(change, name)
    if taken is not None and taken.id != company.id:
        raise Conflict(f"A company named {isolated(name)} already exists.", reason="name_taken")
    if name == company.name:
        return company
    change.session.execute(
        update(companies)
        .where(companies.c.id == company.id)
        .values(name=name, name_folded=folded(name))
    )
    log.record(
        change,
        actor,
        "company.modified",
        Subject("company", company.id, name),
        company=company.id,
        before={"name": company.name},
        after={"name": name},
    )
    return get(change, company.id)


def require_unchanged(company: Company, if_match: Collection[str] | None) -> None:
    """Raise Conflict (``changed_meanwhile``) unless it is one of the versions that *if_match* names
    (``etag``); None is any."""
    if if_match is not None and etag(company) not in if_match:
        raise Conflict(
            "Someone changed the company meanwhile.", reason="changed_meanwhile", current=company
        )


def by_name(reading: Reading, name: str) -> Company | None:
    """The company of that name, compared without case."""
    found = select(companies).where(companies.c.name_folded == folded(name))
    row = reading.session.execute(found).one_or_none() if storable(name) else None
    return None if row is None else _company(row)


def without_administrator(reading: Reading) -> list[Company]:
    """The active companies that nobody can administer: no active user of theirs is an Admin.

    Nobody inside can bring that about; a backup whose administrators have been deactivated since
    can.
    """
    administrator = exists().where(
        users.c.company_id == companies.c.id,
        users.c.role == ADMIN.id,
        users.c.deactivated_at.is_(None),
    )
    lost = select(companies).where(companies.c.deactivated_at.is_(None), ~administrator)
    return [
        _company(row) for row in reading.session.execute(lost.order_by(companies.c.name_folded))
    ]


def any_exist(reading: Reading) -> bool:
    """Whether there is a company at all; the first one's administrator looks after the whole."""
    return reading.session.execute(select(companies.c.id).limit(1)).first() is not None


def _company(row: Row[tuple[object, ...]]) -> Company:
    status: Literal["active", "deactivated"] = (
        "active" if row.deactivated_at is None else "deactivated"
    )
    return Company(row.id, row.name, status, row.created_at, row.second_factor_required)
