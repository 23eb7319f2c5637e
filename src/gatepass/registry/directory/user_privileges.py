"""Which users an actor may change: nobody with more permissions, no operator, no last Admin."""

from sqlalchemy import func, select

from gatepass.core.catalogue import ADMIN
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import companies, users


def require_changeable(reading: Reading, actor: Actor, user: User) -> None:
    """Raise Forbidden as ``require_not_above`` and ``require_no_operator`` do.

    The last administrator passes: callers report ``last_administrator`` before missing permissions.
    """
    if not is_last_administrator(reading, user):
        require_not_above(reading, actor, user)
        require_no_operator(actor, user)


def require_not_above(reading: Reading, actor: Actor, user: User) -> None:
    """Raise Forbidden (``permission_missing``) unless the actor holds what *user*'s role grants.

    Else a Manager could take over an Admin's account.
    """
    actor.require_held(published_roles(reading, user.company).get(user.role, ()))


def require_no_operator(actor: Actor, user: User) -> None:
    """Raise Forbidden (``operator_required``) if *user* is an operator and the actor isn't.

    No role of a company grants what operators may do, so no role may change their accounts either.
    """
    if user.operator and not actor.operator and actor.kind not in ("command line", "system"):
        raise Forbidden(
            f"{isolated(user.name)} is an operator: only operators may change their account.",
            reason="operator_required",
        )


def require_active(user: User, otherwise: str) -> None:
    """Raise Conflict (``user_deactivated``) if *user* is; *otherwise* says what then stays."""
    if user.status != "active":
        raise Conflict(
            f"{isolated(user.name)} is deactivated: {otherwise} stays as it is.",
            reason="user_deactivated",
            current=user,
        )


def require_another_administrator(reading: Reading, user: User) -> None:
    """Raise Conflict (``last_administrator``) if *user* is their company's last one.

    Call it under the lock, which serializes two administrators who demote each other: the second
    is refused.
    """
    if is_last_administrator(reading, user):
        raise Conflict(
            f"{isolated(user.name)} is the last administrator: make someone else one first.",
            reason="last_administrator",
            current=user,
        )


def is_last_administrator(reading: Reading, user: User) -> bool:
    """Whether *user* is the only active user of their company with the built-in role Admin."""
    if user.role != ADMIN.id or user.status != "active":
        return False
    administrators = reading.session.execute(
        select(func.count()).where(
            users.c.company_id == user.company,
            users.c.role == ADMIN.id,
            users.c.deactivated_at.is_(None),
        )
    ).scalar_one()
    return administrators < 2


def is_last_operator(reading: Reading, user: User) -> bool:
    """Whether *user* is the only active operator of the installation."""
    return user.operator and user.status == "active" and active_operators(reading) < 2


def active_operators(reading: Reading) -> int:
    """How many active users of active companies are operators."""
    return reading.session.execute(
        select(func.count())
        .select_from(users.join(companies))
        .where(
            users.c.operator, users.c.deactivated_at.is_(None), companies.c.deactivated_at.is_(None)
        )
    ).scalar_one()
