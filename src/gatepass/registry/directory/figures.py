"""How many users and access tokens a company has, by status."""

from sqlalchemy import case, func, select

from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import access_tokens, users


def people_by_status(reading: Reading, company: str) -> dict[str, int]:
    """The number of active and of deactivated users."""
    ended = users.c.deactivated_at.is_not(None)
    rows = reading.session.execute(
        select(ended.label("ended"), func.count().label("number"))
        .where(users.c.company_id == company)
        .group_by(ended)
    )
    return {"active": 0, "deactivated": 0} | {
        "deactivated" if row.ended else "active": row.number for row in rows
    }


def tokens_by_status(reading: Reading, company: str) -> dict[str, int]:
    """The number of active, expired and deactivated access tokens at ``reading.now``.

    A covering index serves the query.
    """
    table = access_tokens.c
    status = case(
        (table.deactivated_at.is_not(None), "deactivated"),
        (table.expires_at <= reading.now, "expired"),
        else_="active",
    ).label("status")
    found = select(status).where(table.company_id == company).subquery()
    rows = reading.session.execute(
        select(found.c.status, func.count().label("number")).group_by(found.c.status)
    )
    return {"active": 0, "expired": 0, "deactivated": 0} | {row.status: row.number for row in rows}
