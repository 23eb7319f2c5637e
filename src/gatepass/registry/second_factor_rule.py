"""Whether a company requires a second factor of everyone, and who is still without.

It binds what people do: the dashboard, and ``/v1`` with a login token. Access tokens and decisions
for others know nothing of it.
"""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gatepass.core.errors import Conflict
from gatepass.registry import audit, companies, tables
from gatepass.registry.actor import Actor
from gatepass.registry.audit import Subject
from gatepass.registry.proving import require_person
from gatepass.registry.standing import standing

users = tables.users


def required(session: Session, company: str) -> bool:
    """Whether the company with that id requires one."""
    found: bool = session.execute(
        select(tables.companies.c.second_factor_required).where(tables.companies.c.id == company)
    ).scalar_one()
    return found


def require_of_everyone(session: Session, actor: Actor, wanted: bool) -> None:
    """Say whether everyone of the actor's company needs a second factor. The same is no change.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:modify``.
        Conflict: ``second_factor_missing``: whoever requires it needs one themselves, or they would
            shut themselves out.
    """
    require_person(actor)
    actor = standing(session, actor)
    actor.require("company:modify")
    row = session.execute(select(users).where(users.c.id == actor.user)).one()
    if wanted and row.totp_sealed is None:
        raise Conflict(
            "Set up a second factor yourself before you require it of everyone.",
            reason="second_factor_missing",
        )
    before = required(session, row.company_id)
    if wanted == before:
        return
    company = companies.get(session, row.company_id)
    session.execute(
        update(tables.companies)
        .where(tables.companies.c.id == company.id)
        .values(second_factor_required=wanted)
    )
    audit.record(
        session,
        actor,
        "company.modified",
        Subject("company", company.id, company.name),
        company=company.id,
        before={"second_factor_required": before},
        after={"second_factor_required": wanted},
    )


def lacking(session: Session, user: str) -> bool:
    """Whether this user has no second factor although their company requires one."""
    found = session.execute(
        select(tables.companies.c.second_factor_required, users.c.totp_sealed)
        .join(tables.companies, tables.companies.c.id == users.c.company_id)
        .where(users.c.id == user)
    ).one()
    return found.second_factor_required and found.totp_sealed is None
