"""Users: people, each of one company and with one role."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, insert, select

from gatepass.core.credentials import new_id
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import Holder
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, published_holder, published_rules
from gatepass.registry.input.emails import fold_email, read_email
from gatepass.registry.input.text import read_label, storable
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import companies, users


@dataclass(frozen=True, slots=True)
class User:
    """One user, without the password's hash. Times are Unix ms.

    Attributes:
        role: a role's id.
        operator: looks after the installation too.
        last_sign_in_at: None if never.
        second_factor: whether signing in takes one.
    """

    id: str
    company: str
    email: str
    name: str
    role: str
    status: Literal["active", "deactivated"]
    operator: bool
    created_at: int
    last_sign_in_at: int | None = None
    second_factor: bool = False
    deactivated_at: int | None = None
    deactivated_by: Person | None = None


def create(
    change: Change,
    actor: Actor,
    *,
    company: str,
    email: str,
    name: str,
    role: str,
    password_hash: str,
    operator: bool = False,
) -> User:
    """Make a user.

    Args:
        company, role: ids.
        password_hash: as ``passwords.hash`` returned it: hashing never happens in a transaction.
        operator: only the command line names operators.

    Raises:
        Forbidden: without ``users:manage``, or without something that the role grants.
        NotFound: there is no such company, or it isn't the actor's.
        InvalidInput: for ``email``, ``name`` or ``role``.
        Conflict: ``email_taken``; the addresses of active users are unique in an installation,
            compared without case.
    """
    actor = acting(change, actor, "users:manage", person=True)
    if operator and actor.kind != "command line":
        raise Forbidden("Only the command line names operators.", reason="operator_required")
    if actor.company not in (None, company):
        raise NotFound("There is no such company.")
    require_grantable(change, actor, company, role)
    return add(
        change,
        actor,
        company=company,
        email=email,
        name=name,
        role=role,
        password_hash=password_hash,
        operator=operator,
    )


def require_grantable(reading: Reading, actor: Actor, company: str, role: str) -> None:
    """Nobody grants more than they hold.

    Raises:
        InvalidInput: for ``role``; the company has none of that id.
        Forbidden: the role grants something that the actor doesn't hold.
    """
    roles = published_rules(reading, company).roles
    if role not in roles:
        raise InvalidInput([("role", "Must be the id of a role.")])
    missing = next((held for held in sorted(roles[role]) if not actor.may(held)), None)
    if missing is not None:
        raise Forbidden("Nobody grants more than they hold.", permission=missing)


def add(
    change: Change,
    actor: Actor,
    *,
    company: str,
    email: str,
    name: str,
    role: str,
    password_hash: str,
    operator: bool = False,
    user_id: str | None = None,
) -> User:
    """Make a user on the word of whoever calls: whether the actor may has been settled.

    Args:
        user_id: one that ``new_id`` made, for whoever is their own actor.

    Raises:
        InvalidInput: for ``email`` or ``name``.
        Conflict: ``email_taken``.
    """
    email = read_email("email", email)
    read_label("name", name)
    if by_email(change, email) is not None:
        raise Conflict(f"{email} has an account already.", reason="email_taken")
    now = change.now
    user = User(
        user_id or new_id("usr"), company, email, name, role, "active", operator, created_at=now
    )
    change.session.execute(
        insert(users),
        {
            "id": user.id,
            "company_id": company,
            "email": email,
            "email_folded": fold_email(email),
            "name": name,
            "role": role,
            "operator": operator,
            "password_hash": password_hash,
            "created_at": user.created_at,
        },
    )
    publish(change, Holder(user.id, company, True, role))
    log.record(
        change,
        actor,
        "user.created",
        Subject("user", user.id, name),
        company=company,
        after={"email": email, "role": role, "operator": operator},
    )
    return user


def get(reading: Reading, user_id: str) -> User:
    """One user, of whatever company.

    Raises:
        NotFound: there is none of that id.
    """
    found = select(users).where(users.c.id == user_id)
    row = reading.session.execute(found).one_or_none() if storable(user_id) else None
    if row is None:
        raise NotFound("There is no such user.")
    return user_of(row)


def by_email(reading: Reading, email: str) -> User | None:
    """The active user with that address, compared without case."""
    row = latest_row(reading, email)
    return None if row is None or row.deactivated_at is not None else user_of(row)


def latest_row(reading: Reading, email: str) -> Row[Any] | None:
    """The row of the active user with that address; where there is none, of the one of those who
    had it that was deactivated last."""
    ended = users.c.deactivated_at
    return reading.session.execute(
        select(users)
        .where(users.c.email_folded == fold_email(email))
        .order_by(ended.is_not(None), ended.desc())
        .limit(1)
    ).one_or_none()


def on_behalf_of(reading: Reading, user_id: str) -> Actor:
    """The command line doing what this user could do: their company and permissions, their name.

    Raises:
        NotFound: there is none of that id.
    """
    user = get(reading, user_id)
    holder, rules = published_holder(reading, user.id), published_rules(reading, user.company)
    permissions = rules.roles.get(user.role, frozenset()) if holder and holder.active else ()
    return Actor("command line", user.company, user.id, user.name, frozenset(permissions))


def require_no_operator(actor: Actor, user: User) -> None:
    """Raise Forbidden (``operator_required``) if *user* is an operator and the actor is none: no
    role of a company covers what operators may do, so none may take their place either."""
    if user.operator and not actor.operator and actor.kind not in ("command line", "system"):
        raise Forbidden(
            f"{isolated(user.name)} is an operator: only operators may change their account.",
            reason="operator_required",
        )


def operators(reading: Reading, company: str) -> frozenset[str]:
    """The ids of a company's users who are operators."""
    wanted = select(users.c.id).where(users.c.company_id == company, users.c.operator)
    return frozenset(reading.session.scalars(wanted))


def active_operators(reading: Reading) -> int:
    """How many active users of active companies are operators."""
    return reading.session.execute(
        select(func.count())
        .select_from(users.join(companies))
        .where(
            users.c.operator, users.c.deactivated_at.is_(None), companies.c.deactivated_at.is_(None)
        )
    ).scalar_one()


def user_of(row: Row[Any]) -> User:
    """A row of the users table as a record."""
    ended = row.deactivated_at is not None
    return User(
        id=row.id,
        company=row.company_id,
        email=row.email,
        name=row.name,
        role=row.role,
        status="deactivated" if ended else "active",
        operator=row.operator,
        created_at=row.created_at,
        last_sign_in_at=row.last_sign_in_at,
        second_factor=row.totp_sealed is not None,
        deactivated_at=row.deactivated_at,
        deactivated_by=Person(row.deactivated_by, row.deactivated_by_name) if ended else None,
    )
