"""Roles: named sets of permissions. Every company has the four built-in ones, and its own."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gatepass.core.catalogue import BUILT_IN_ROLES, Catalogue, built_in_permissions
from gatepass.registry import tables


@dataclass(frozen=True, slots=True)
class Role:
    """A role. ``built_in`` ones are computed from the catalogue and can't be changed."""

    id: str
    name: str
    permissions: tuple[str, ...]
    built_in: bool


def of_company(session: Session, catalogue: Catalogue, company: str) -> dict[str, Role]:
    """A company's roles by id: the built-in ones first, then its own by name."""
    own = session.execute(
        select(tables.roles.c.id, tables.roles.c.name, tables.roles.c.permissions)
        .where(tables.roles.c.company_id == company)
        .order_by(tables.roles.c.name_folded)
    )
    return {role.id: role for role in built_in(catalogue)} | {
        row.id: Role(row.id, row.name, tuple(row.permissions), built_in=False) for row in own
    }


def built_in(catalogue: Catalogue) -> tuple[Role, ...]:
    """The four roles that every company has."""
    return tuple(
        Role(role.id, role.name, built_in_permissions(role.id, catalogue), built_in=True)
        for role in BUILT_IN_ROLES
    )
