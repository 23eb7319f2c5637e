"""The company policy that every user must have a second factor.

It applies to users: the dashboard, and ``/v1`` with a login token. Access tokens and verifiers'
decisions ignore it.
"""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, func, select

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.directory.companies import Company
from gatepass.registry.directory.users import User, user_of
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.rows import find, update_row

users = tables.users


def required(reading: Reading, company: str) -> bool:
    """Whether the company with that id requires a second factor."""
    found: bool = reading.session.execute(
        select(tables.companies.c.second_factor_required).where(tables.companies.c.id == company)
    ).scalar_one()
    return found


def require_of_everyone(
    change: Change, actor: Actor, wanted: bool, *, if_match: Collection[str] | None = None
) -> Company:
    """Set whether the actor's company requires a second factor of every user. Idempotent.

    Args:
        if_match: the accepted versions (``companies.etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:modify``.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``second_factor_missing``:
            the actor has none, and would lock themselves out.
    """
    actor = acting(change, actor, "company:modify", own_account=True)
    company = companies.get(change, actor.company or "")
    companies.require_unchanged(company, if_match)
    if wanted and not has_own(change, actor.user or ""):
        raise Conflict(
            "Set up a second factor yourself before you require it of everyone.",
            reason="second_factor_missing",
        )
    if wanted == company.second_factor_required:
        return company
    update_row(change, tables.companies, company.id, second_factor_required=wanted)
    before = {"second_factor_required": company.second_factor_required}
    after = {"second_factor_required": wanted}
    companies.record(change, actor, "modified", company, before=before, after=after)
    return replace(company, second_factor_required=wanted)


def has_own(reading: Reading, user: str) -> bool:
    """Whether the user with that id has a second factor."""
    found = reading.session.execute(
        select(users.c.totp_sealed).where(users.c.id == user)
    ).scalar_one()
    return found is not None


def without(reading: Reading, company: str) -> int:
    """How many active users of the company with that id have no second factor."""
    return reading.session.execute(
        select(func.count()).where(
            users.c.company_id == company,
            users.c.deactivated_at.is_(None),
            users.c.totp_sealed.is_(None),
        )
    ).scalar_one()


def user_and_lacking(reading: Reading, user_id: str, credential: str) -> tuple[User, bool]:
    """A user of any company, and whether they lack the second factor that it requires.

    A second factor that the OIDC provider checked counts for that sign-in. In a sign-in in which it
    checked none, the user's own second factor doesn't count: nobody asked for it.

    Args:
        credential: the id of the login token in use, if it is one.

    Raises:
        NotFound: there is none of that id.
    """
    wanted = _with_policy(credential).where(users.c.id == user_id)
    row = find(reading, wanted, user_id, "user")
    checked = row.provider_second_factor
    if checked is None:
        checked = row.totp_sealed is not None
    return user_of(row), row.second_factor_required and not checked


def _with_policy(credential: str) -> Select[Any]:
    signed_in = tables.authentications
    return (
        select(
            users,
            tables.companies.c.second_factor_required,
            signed_in.c.provider_second_factor,
        )
        .join(tables.companies, tables.companies.c.id == users.c.company_id)
        .outerjoin(signed_in, signed_in.c.id == credential)
    )
