"""Impact of a role's permissions, or of another role, on the calls of access tokens."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Select, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.grants import CompanyRules, external_role
from gatepass.core.replay import Rules
from gatepass.registry.actor import Actor
from gatepass.registry.directory import role_records, roles
from gatepass.registry.directory.role_records import Role
from gatepass.registry.grants.publishing import published_rules
from gatepass.registry.input.permissions import read_permissions
from gatepass.registry.input.text import Problems
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import owners, users
from gatepass.registry.tokens.calls import impact
from gatepass.registry.tokens.calls.impact import Impact


def preview(
    reading: Reading,
    actor: Actor,
    role_id: str,
    permissions: Sequence[str],
    *,
    catalogue: Catalogue,
) -> Impact:
    """What would become of the calls of the role's tokens if it had these *permissions*.

    Without ``access-tokens:get`` it names no calls.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``roles:manage``.
        NotFound: there is no such role, or it is another company's.
        InvalidInput: for ``permissions``.
    """
    actor.require_signed_in()
    actor.require("roles:manage")
    role = roles.find(reading, actor, role_id, catalogue)
    problems = Problems()
    chosen = read_permissions(permissions, catalogue, problems, of_role=True)
    problems.settle()
    proposed = Role(role.id, role.name, tuple(chosen), role.built_in)

    company = actor.company or ""
    after = _with(published_rules(reading, company), proposed, catalogue)
    found = impact.of_company(
        reading,
        company,
        lambda rules: rules._replace(company=after),
        owners=_of_role(company, role.id),
    )
    return found if actor.may("access-tokens:get") else found.without_names()


def of_user(reading: Reading, actor: Actor, user: str, role: str) -> Impact:
    """What would become of the calls of a user's tokens if they had another role.

    Without ``access-tokens:get`` it names no calls.

    Args:
        user, role: ids; of a user or a role that there isn't, nothing is found.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``users:manage``.
    """
    actor.require_signed_in()
    actor.require("users:manage")
    company = actor.company or ""

    def changed(rules: Rules) -> Rules:
        holder = rules.holder
        if holder is not None:
            holder = msgspec.structs.replace(holder, role=role)
        return rules._replace(holder=holder)

    theirs = select(users.c.id).where(users.c.company_id == company, users.c.id == user)
    found = impact.of_company(reading, company, changed, owners=theirs)
    return found if actor.may("access-tokens:get") else found.without_names()


def _with(company: CompanyRules, role: Role, catalogue: Catalogue) -> CompanyRules:
    """The rules of a company with *role* as proposed."""
    permits = role_records.permits(role, catalogue)
    changed = company.roles | {role.id: permits}
    if external_role(role.id) in changed:
        changed[external_role(role.id)] = catalogue.external(permits)
    return msgspec.structs.replace(company, roles=changed)


def _of_role(company: str, role_id: str) -> Select[tuple[str]]:
    """The ids of the users and other owners of a company that have a role."""
    of_users, of_owners = (
        select(table.c.id).where(table.c.company_id == company, table.c.role == role_id)
        for table in (users, owners)
    )
    return select(of_users.union_all(of_owners).subquery().c.id)
