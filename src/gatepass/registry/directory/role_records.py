"""Role records: four built-in roles, and each company's own."""

from dataclasses import dataclass

from sqlalchemy import select

from gatepass.core.catalogue import BUILT_IN_ROLES, Catalogue, built_in_permissions
from gatepass.core.permissions import EVERYTHING
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.etags import etag_of


@dataclass(frozen=True, slots=True)
class Role:
    """A role. ``built_in`` roles are computed from the catalogue and can't be changed.

    Attributes:
        permissions: as chosen; those that the catalogue no longer has grant nothing.
        created_at: Unix ms; None for a built-in role.
    """

    id: str
    name: str
    permissions: tuple[str, ...]
    built_in: bool
    created_at: int | None = None


def etag(role: Role) -> str:
    """The version of a role."""
    return etag_of(role.id, role.name, role.permissions)


def permits(role: Role, catalogue: Catalogue) -> frozenset[str]:
    """The effective permissions of a role.

    A permission that the catalogue removed stays in the record, and grants nothing.
    """
    return frozenset(
        name for name in role.permissions if name == EVERYTHING or catalogue.knows(name)
    )


def of_company(reading: Reading, catalogue: Catalogue, company: str) -> dict[str, Role]:
    """A company's roles by id: the built-in roles first, then its own by name."""
    own = reading.session.execute(
        select(tables.roles)
        .where(tables.roles.c.company_id == company)
        .order_by(tables.roles.c.name_folded)
    )
    return {role.id: role for role in built_in(catalogue)} | {
        row.id: Role(row.id, row.name, tuple(row.permissions), False, row.created_at) for row in own
    }


def built_in(catalogue: Catalogue) -> tuple[Role, ...]:
    """The four built-in roles, which every company has."""
    return tuple(
        Role(role.id, role.name, built_in_permissions(role.id, catalogue), built_in=True)
        for role in BUILT_IN_ROLES
    )
