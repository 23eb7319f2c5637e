"""The permissions of each role under the current catalogue, as published for decisions."""

from collections.abc import Iterator

import msgspec
from sqlalchemy import func, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.grants import EXTERNAL, CompanyRules, external_role, is_external_role
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import role_records
from gatepass.registry.grants.publishing import publish, published_rules
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Change, Database, Reading


def follow_catalogue(database: Database, catalogue: Catalogue, now: int) -> int:
    """Publish the rules of companies whose roles' permissions *catalogue* changes.

    Call it at every start: permissions that the catalogue added are then in the roles that cover
    them, and removed ones in none. Writes nothing if nothing changed.

    Args:
        now: Unix time in milliseconds.

    Returns:
        How many companies were published.
    """
    with database.read(now) as reading:
        if not _outdated(reading, catalogue):
            return 0
    with database.write(now) as change:
        outdated = _outdated(change, catalogue)
        for company, name, rules in outdated:
            before = published_rules(change, company)
            publish(change, rules)
            subject = Subject("company", company, name)
            fields = {"before": {"roles": _readable(before)}, "after": {"roles": _readable(rules)}}
            log.record(
                change, Actor.system(), "catalogue.changed", subject, company=company, **fields
            )
        return len(outdated)


def publish_roles(change: Change, catalogue: Catalogue, company: str) -> None:
    """Publish the permissions of a company's roles, if they changed."""
    rules = published_rules(change, company)
    permissions = role_permissions(change, catalogue, company)
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
