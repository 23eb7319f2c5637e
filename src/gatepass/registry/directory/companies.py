"""Companies: the accounts that own users, roles and tokens."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Row, exists, insert, select

from gatepass.core.catalogue import ADMIN, Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict
from gatepass.core.grants import CompanyRules
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.published_roles import role_permissions
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.text import folded, read_label, storable
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import companies, users


@dataclass(frozen=True, slots=True)
class Company:
    """One company. ``created_at`` is Unix ms.

    Attributes:
        second_factor_required: of every user (see ``totp_policy``).
    """

    id: str
    name: str
    status: Literal["active", "deactivated"]
    created_at: int
    second_factor_required: bool = False


def create(change: Change, actor: Actor, *, catalogue: Catalogue, name: str) -> Company:
    """Create a company. Operators only.

    Raises:
        InvalidInput: for ``name``; 1–100 characters without control characters.
        Conflict: ``name_taken``; names are unique in an installation, compared without case.
    """
    actor = acting(change, actor, person=True, operator=True)
    read_label("name", name)
    _require_free(change, name)
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
    record(change, actor, "created", company, after={"name": name})
    return company


def get(reading: Reading, company_id: str) -> Company:
    """One company.

    Raises:
        NotFound: there is none of that id.
    """
    found = select(companies).where(companies.c.id == company_id)
    return _company(rows.find(reading, found, company_id, "company"))


def etag(company: Company) -> str:
    """The version of a company's visible and editable fields."""
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
    """Rename the actor's company. Idempotent.

    Args:
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:modify``.
        InvalidInput: for ``name``.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``name_taken``.
    """
    actor = acting(change, actor, "company:modify", person=True)
    company = get(change, actor.company or "")
    require_unchanged(company, if_match)
    read_label("name", name)
    _require_free(change, name, but=company.id)
    if name == company.name:
        return company
    update_row(change, companies, company.id, name=name, name_folded=folded(name))
    renamed = replace(company, name=name)
    before, after = {"name": company.name}, {"name": name}
    record(change, actor, "modified", renamed, before=before, after=after)
    return renamed


def require_unchanged(company: Company, if_match: Collection[str] | None) -> None:
    """Raise Conflict (``changed_meanwhile``) unless *if_match* names the company's version."""
    rows.require_unchanged(company, etag(company), if_match, "the company")


def by_name(reading: Reading, name: str) -> Company | None:
    """The company of that name, ignoring case."""
    found = select(companies).where(companies.c.name_folded == folded(name))
    row = reading.session.execute(found).one_or_none() if storable(name) else None
    return None if row is None else _company(row)


def without_administrator(reading: Reading) -> list[Company]:
    """The active companies without an active user who is Admin.

    No user can cause that, but a restored backup can, whose administrators were deactivated since.
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
    """Whether any company exists. The first one's administrator becomes an operator."""
    return reading.session.execute(select(companies.c.id).limit(1)).first() is not None


def record(
    write: Write, actor: Actor, what: str, company: Company, **fields: dict[str, Any]
) -> None:
    """Write the audit event ``company.{what}``; *fields* are ``before`` and ``after``."""
    subject = Subject("company", company.id, company.name)
    log.record(write, actor, f"company.{what}", subject, company=company.id, **fields)


def _require_free(reading: Reading, name: str, *, but: str = "") -> None:
    taken = by_name(reading, name)
    if taken is not None and taken.id != but:
        raise Conflict(f"A company named {isolated(name)} already exists.", reason="name_taken")


def _company(row: Row[tuple[object, ...]]) -> Company:
    return rows.record_of(Company, row, status=rows.status_of(row))
