"""Who of a company can do something: its active users whose role holds given permissions."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select

from gatepass.core.permissions import covers
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import users


def people_holding(
    reading: Reading,
    company: str,
    permissions: Collection[str],
    *,
    most: int,
    but: Collection[str] = (),
) -> Sequence[Any]:
    """Ids, names and addresses of users who hold all *permissions*, the first ones first.

    Performs no permission check.

    Args:
        company: an id.
        most: of the list.
        but: ids of users that are left out.
    """
    its = published_roles(reading, company)
    roles = [
        role for role, permits in its.items() if all(covers(permits, name) for name in permissions)
    ]
    return reading.session.execute(
        select(users.c.id, users.c.name, users.c.email)
        .where(users.c.company_id == company, users.c.deactivated_at.is_(None))
        .where(users.c.role.in_(roles), users.c.id.not_in(but))
        .order_by(users.c.created_at, users.c.id)
        .limit(most)
    ).all()
