"""Companies: the accounts that own users, roles and tokens."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import Row, Select, exists, insert, select

from gatepass.core.catalogue import ADMIN, Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, NotFound
from gatepass.core.grants import CompanyRules
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.published_roles import role_permissions
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.published_catalogue import current_catalogue
from gatepass.registry.grants.publishing import publish
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID, external_id_problem
from gatepass.registry.input.text import Problems, folded, label_problem, read_label, storable
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import companies, users


@dataclass(frozen=True, slots=True)
class Company:
    """One company. ``created_at`` is Unix ms.

    Attributes:
        second_factor_required: of every user (see ``totp_policy``).
        external_id: the id by which the platform knows it; None if it has none.
    """

    id: str
    name: str
    status: Literal["active", "deactivated"]
    created_at: int
    second_factor_required: bool = False
    external_id: str | None = None


def create(change: Change, actor: Actor, *, catalogue: Catalogue, name: str) -> Company:
    """Create a company. Operators only.

    Raises:
        InvalidInput: for ``name``; 1–100 characters without control characters.
        Conflict: ``name_taken``; names are unique among an installation's active companies,
            compared without case.
    """
    actor = acting(change, actor, person=True, operator=True)
    return _create(change, actor, catalogue, name, None)


def put(
    change: Change, actor: Actor, *, catalogue: Catalogue, external_id: str, name: str
) -> tuple[Company, bool]:
    """Create the active company with that external id, or rename it. Idempotent.

    Returns:
        The company, and whether it is new.

    Raises:
        Forbidden: as ``acting`` says for the area ``companies``.
        NotFound: the admin key is limited to another company.
        InvalidInput: with all errors of ``external_id`` and ``name``.
        Conflict: ``name_taken``.
    """
    actor = acting(change, actor, area="companies")
    problems = Problems()
    for field, problem in (
        ("external_id", external_id_problem(external_id)),
        ("name", label_problem(name)),
    ):
        if problem is not None:
            problems.add(field, problem)
    problems.settle()
    known = select(companies).where(
        companies.c.external_id == external_id, companies.c.deactivated_at.is_(None)
    )
    row = change.session.execute(known).one_or_none()
    if row is None:
        if _limited_to(actor) is not None:
            raise NotFound("There is no such company.")
        return _create(change, actor, catalogue, name, external_id), True
    _require_within(actor, row.id)
    return _rename(change, actor, _company(row), name), False


def _create(
    change: Change, actor: Actor, catalogue: Catalogue, name: str, external_id: str | None
) -> Company:
    read_label("name", name)
    _require_free(change, name)
    company = Company(new_id("com"), name, "active", change.now, external_id=external_id)
    change.session.execute(
        insert(companies),
        {
            "id": company.id,
            "name": name,
            "name_folded": folded(name),
            "created_at": company.created_at,
            "external_id": external_id,
        },
    )
    permissions = role_permissions(change, current_catalogue(change, catalogue), company.id)
    publish(change, CompanyRules(company.id, True, None, permissions))
    after = {"name": name} if external_id is None else {"name": name, "external_id": external_id}
    record(change, actor, "created", company, after=after)
    return company


def list_(
    reading: Reading,
    actor: Actor,
    *,
    external_id: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Company]:
    """A page of the companies, newest first; an admin key of one company sees that one.

    Args:
        external_id: only those with exactly this one, deactivated ones included.

    Raises:
        Forbidden: as ``Actor.require_area`` says for ``companies``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require_area("companies")
    wanted = select(companies)
    if external_id is not None:
        wanted = wanted.where(companies.c.external_id == external_id)
    own = _limited_to(actor)
    if own is not None:
        wanted = wanted.where(companies.c.id == own)
    page, more = newest_first(reading, wanted, companies, limit=limit, cursor=cursor)
    return Page([_company(row) for row in page], more)


def find(reading: Reading, actor: Actor, reference: str) -> Company:
    """The company that an admin key or operator refers to. Performs no permission check.

    Args:
        reference: its id; or ``ext:`` and its external id: the active one, else the newest.

    Raises:
        NotFound: there is none, or the admin key is limited to another one.
    """
    row = rows.find(reading, _referred(reference), reference, "company")
    _require_within(actor, row.id)
    return _company(row)


def find_active(reading: Reading, actor: Actor, reference: str) -> Company:
    """``find``, for a change of what the company owns.

    Raises:
        NotFound: as ``find`` says.
        Conflict: ``company_deactivated``.
    """
    company = find(reading, actor, reference)
    _require_active(company)
    return company


def is_active(reading: Reading, company_id: str) -> bool:
    """Whether there is an active company of that id."""
    wanted = select(companies.c.id).where(
        companies.c.id == company_id, companies.c.deactivated_at.is_(None)
    )
    return storable(company_id) and reading.session.execute(wanted).first() is not None


def freed_name(name: str, company_id: str) -> str:
    """What is stored for comparison in place of a deactivated company's name.

    No name has a line break, so an active company may take the name.
    """
    return f"{folded(name)}\n{company_id}"


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
    return _rename(change, actor, company, name)


def rename_any(
    change: Change,
    actor: Actor,
    reference: str,
    *,
    name: str | None,
    if_match: Collection[str] | None = None,
) -> Company:
    """Rename any company. Idempotent.

    Args:
        reference: as for ``find``.
        name: None changes nothing.
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: as ``acting`` says for the area ``companies``.
        NotFound: as ``find`` says.
        InvalidInput: for ``name``.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``name_taken``;
            ``company_deactivated``.
    """
    actor = acting(change, actor, area="companies")
    company = find(change, actor, reference)
    require_unchanged(company, if_match)
    _require_active(company)
    return company if name is None else _rename(change, actor, company, name)


def _rename(change: Change, actor: Actor, company: Company, name: str) -> Company:
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
    """The active company of that name, ignoring case."""
    found = select(companies).where(companies.c.name_folded == folded(name))
    row = reading.session.execute(found).one_or_none() if storable(name) else None
    return None if row is None else _company(row)


def named(reading: Reading, name: str) -> Company:
    """The active company of that name, ignoring case.

    Raises:
        NotFound: there is none.
    """
    found = by_name(reading, name)
    if found is None:
        raise NotFound(f"There is no company named {name!r}.")
    return found


def without_administrator(reading: Reading) -> list[Company]:
    """The active companies without an active user who is Admin.

    No user can cause that, but a restored backup can, whose administrators were deactivated since.
    Companies with an external id are left out: their platform manages them.
    """
    administrator = exists().where(
        users.c.company_id == companies.c.id,
        users.c.role == ADMIN.id,
        users.c.deactivated_at.is_(None),
    )
    lost = select(companies).where(
        companies.c.deactivated_at.is_(None), companies.c.external_id.is_(None), ~administrator
    )
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


def _referred(reference: str) -> Select[Any]:
    if not reference.startswith(BY_EXTERNAL_ID):
        return select(companies).where(companies.c.id == reference)
    external_id = reference.removeprefix(BY_EXTERNAL_ID)
    active_first = (companies.c.deactivated_at.is_not(None), companies.c.created_at.desc())
    those = select(companies).where(companies.c.external_id == external_id)
    return those.order_by(*active_first, companies.c.id.desc()).limit(1)


def _limited_to(actor: Actor) -> str | None:
    """The only company that an admin key manages; None for other actors, and without a limit."""
    return actor.company if actor.kind == "admin_key" else None


def _require_within(actor: Actor, company_id: str) -> None:
    own = _limited_to(actor)
    if own is not None and own != company_id:
        raise NotFound("There is no such company.")


def _require_active(company: Company) -> None:
    if company.status != "active":
        raise Conflict(
            "This company is deactivated and can't be changed.", reason="company_deactivated"
        )


def _require_free(reading: Reading, name: str, *, but: str = "") -> None:
    taken = by_name(reading, name)
    if taken is not None and taken.id != but:
        raise Conflict(f"A company named {isolated(name)} already exists.", reason="name_taken")


def _company(row: Row[tuple[object, ...]]) -> Company:
    return rows.record_of(Company, row, status=rows.status_of(row))
