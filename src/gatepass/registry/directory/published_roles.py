"""The permissions of each role under the current catalogue, as published for decisions."""

from collections.abc import Iterator

import msgspec
from sqlalchemy import func, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.grants import EXTERNAL, CompanyRules, external_role, is_external_role
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import role_records
from gatepass.registry.grants.published_catalogue import current_catalogue
from gatepass.registry.grants.publishing import publish, published_rules
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Change, Database, Reading


def follow_catalogue(database: Database, catalogue: Catalogue, now: int) -> int:
    """Publish the rules of companies whose roles' permissions the catalogue changes.

    Call it at every start: a new release may have permissions of its own. Writes nothing if nothing
    changed.

    Args:
        catalogue: counts while the installation has none.
        now: Unix time in milliseconds.

    Returns:
        How many companies were published.
    """
    with database.read(now) as reading:
        if not _outdated(reading, current_catalogue(reading, catalogue)):
            return 0
    with database.write(now) as change:
        return publish_all_roles(change, current_catalogue(change, catalogue))


def publish_all_roles(change: Change, catalogue: Catalogue) -> int:
    """Publish the permissions of every company's roles under *catalogue*, where they changed.

    Returns:
        The number of those companies.
    """
    outdated = _outdated(change, catalogue)
    for company, name, rules in outdated:
        before = published_rules(change, company)
        publish(change, rules)
        subject = Subject("company", company, name)
        fields = {"before": {"roles": _readable(before)}, "after": {"roles": _readable(rules)}}
        # Not by the operator who changed the catalogue, a stranger to most companies.
        log.record(change, Actor.system(), "catalogue.changed", subject, company=company, **fields)
    return len(outdated)


def publish_roles(change: Change, catalogue: Catalogue, company: str) -> None:
    """Publish the permissions of a company's roles, if they changed.

    Args:
        catalogue: counts while the installation has none.
    """
    rules = published_rules(change, company)
    permissions = role_permissions(change, current_catalogue(change, catalogue), company)
    if permissions != rules.roles:
        publish(change, msgspec.structs.replace(rules, roles=permissions))


def role_permissions(
    reading: Reading, catalogue: Catalogue, company: str
) -> dict[str, frozenset[str]]:
    """The effective permissions of each role of a company, by the role's id.

    Roles that external owners have are also there as ``grants.external_role``.
    """
    permits = {
        role.id: role_records.permits(role, catalogue)
        for role in role_records.of_company(reading, catalogue, company).values()
    }
    return permits | {
        external_role(role): catalogue.external(permits[role])
        for role in _roles_of_external_owners(reading, company)
        if role in permits
    }


def _roles_of_external_owners(reading: Reading, company: str) -> Iterator[str]:
    """The roles that external owners of a company have or, if deactivated, had.

    Deactivating an owner doesn't publish anything about its role, so it must not be missing later.
    """
    table = tables.owners.c
    least = select(func.min(table.role)).where(table.company_id == company, table.type == EXTERNAL)
    # One step of the index for each role: there may be a million owners.
    role = reading.session.scalar(least)
    while role is not None:
        yield role
        role = reading.session.scalar(least.where(table.role > role))


def _outdated(reading: Reading, catalogue: Catalogue) -> list[tuple[str, str, CompanyRules]]:
    companies = reading.session.execute(
        select(tables.companies.c.id, tables.companies.c.name)
    ).all()
    found: list[tuple[str, str, CompanyRules]] = []
    for company, name in companies:
        rules = published_rules(reading, company)
        permissions = role_permissions(reading, catalogue, company)
        if rules.roles != permissions:
            found.append((company, name, msgspec.structs.replace(rules, roles=permissions)))
    return found


def _readable(rules: CompanyRules) -> dict[str, list[str]]:
    return {
        role: sorted(permissions)
        for role, permissions in rules.roles.items()
        if not is_external_role(role)
    }
