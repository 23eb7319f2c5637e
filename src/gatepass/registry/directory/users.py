"""Users: each belongs to one company and has one role."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, insert, select

from gatepass.core.catalogue import ADMIN
from gatepass.core.credentials import new_id
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import Holder
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, published_holder, published_roles
from gatepass.registry.input.emails import fold_email, read_email
from gatepass.registry.input.text import folded, read_label
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.tables import users
from gatepass.registry.storage.word_index import USER_EMAILS, USER_NAMES

_PREFIX = "usr"


@dataclass(frozen=True, slots=True)
class User:
    """One user, without the password hash. Times are Unix ms.

    Attributes:
        role: a role's id.
        operator: may administer the installation.
        last_sign_in_at: None before the first sign-in.
        second_factor: whether sign-in requires one.
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
    """Create a user.

    Args:
        company, role: ids.
        password_hash: from ``passwords.hash``, which must not run in a transaction.
        operator: only the command line may set it.

    Raises:
        Forbidden: without ``users:manage``, or without a permission of the role.
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
    """Require that the actor may grant *role* (a role's id).

    Raises:
        InvalidInput: for ``role``; the company has none of that id.
        Forbidden: ``permission_missing``: the actor lacks a permission of the role.
    """
    roles = published_roles(reading, company)
    if role not in roles:
        raise InvalidInput([("role", "Must be the id of a role.")])
    actor.require_held(roles[role])


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
    """Create a user. Performs no permission check; the caller must have done it.

    Args:
        user_id: from ``new_user_id``, for a new user who is the actor of their own creation.

    Raises:
        InvalidInput: for ``email`` or ``name``.
        Conflict: ``email_taken``.
    """
    email = read_email("email", email)
    read_label("name", name)
    if by_email(change, email) is not None:
        raise Conflict(f"{email} already has an account.", reason="email_taken")
    now = change.now
    user = User(
        user_id or new_user_id(), company, email, name, role, "active", operator, created_at=now
    )
    change.session.execute(
        insert(users),
        {
            "id": user.id,
            "company_id": company,
            "email": email,
            "email_folded": fold_email(email),
            "name": name,
            "name_searched": folded(name),
            "email_searched": folded(email),
            "role": role,
            "operator": operator,
            "password_hash": password_hash,
            "created_at": user.created_at,
        },
    )
    USER_NAMES.add(change, company, user.id, now, [folded(name)])
    USER_EMAILS.add(change, company, user.id, now, _searched_emails(email))
    publish(change, Holder(user.id, company, True, role, name=name))
    after = {"email": email, "role": role, "operator": operator}
    record(change, actor, "created", user, after=after)
    return user


def new_user_id() -> str:
    """An id for a new user."""
    return new_id(_PREFIX)


def is_user(owner_id: str) -> bool:
    """Whether the id of a token's owner is a user's."""
    return owner_id.startswith(f"{_PREFIX}_")


def get(reading: Reading, user_id: str) -> User:
    """One user of any company.

    Raises:
        NotFound: there is none of that id.
    """
    return user_of(rows.find(reading, select(users).where(users.c.id == user_id), user_id, "user"))


def by_email(reading: Reading, email: str) -> User | None:
    """The active user with that address, compared without case."""
    row = latest_row(reading, email)
    return None if row is None or row.deactivated_at is not None else user_of(row)


def administrators(reading: Reading, company: str, *, most: int) -> Sequence[Any]:
    """Ids, companies and addresses of a company's active administrators, the first ones first."""
    return reading.session.execute(
        select(users.c.id, users.c.company_id, users.c.email)
        .where(users.c.company_id == company, users.c.deactivated_at.is_(None))
        .where(users.c.role == ADMIN.id)
        .order_by(users.c.created_at, users.c.id)
        .limit(most)
    ).all()


def owner_or_administrators(
    reading: Reading, owner: str, company: str, *, most: int
) -> Sequence[Any]:
    """Ids, companies and addresses of the people that an owner's access token concerns.

    The owner, if it is an active user; else the first administrators of the company.
    """
    its = users.c
    own = reading.session.execute(
        select(its.id, its.company_id, its.email).where(
            its.id == owner, its.deactivated_at.is_(None)
        )
    ).all()
    return own or administrators(reading, company, most=most)


def latest_row(reading: Reading, email: str) -> Row[Any] | None:
    """The row of the active user with that address; else of the most recently deactivated one."""
    ended = users.c.deactivated_at
    return reading.session.execute(
        select(users)
        .where(users.c.email_folded == fold_email(email))
        .order_by(ended.is_not(None), ended.desc())
        .limit(1)
    ).one_or_none()


def on_behalf_of(reading: Reading, user_id: str) -> Actor:
    """The command line, acting with a user's company, name and permissions.

    Raises:
        NotFound: there is none of that id.
    """
    user = get(reading, user_id)
    holder, roles = published_holder(reading, user.id), published_roles(reading, user.company)
    permissions = roles.get(user.role, frozenset()) if holder and holder.active else ()
    return Actor("command line", user.company, user.id, user.name, frozenset(permissions))


def operators(reading: Reading, company: str) -> frozenset[str]:
    """The ids of a company's users who are operators."""
    wanted = select(users.c.id).where(users.c.company_id == company, users.c.operator)
    return frozenset(reading.session.scalars(wanted))


def write_name(change: Change, user: User, name: str) -> None:
    """Write a user's new name. Performs no check; the caller must have done it."""
    rows.update_row(change, users, user.id, name=name, name_searched=folded(name))
    publish_holder(change, user, name=name)
    USER_NAMES.replace(
        change,
        user.company,
        user.id,
        user.created_at,
        before=[folded(user.name)],
        after=[folded(name)],
    )


def write_email(write: Write, user: User, email: str) -> None:
    """Write a user's new e-mail address. Performs no check; the caller must have done it."""
    rows.update_row(
        write,
        users,
        user.id,
        email=email,
        email_folded=fold_email(email),
        email_searched=folded(email),
    )
    USER_EMAILS.replace(
        write,
        user.company,
        user.id,
        user.created_at,
        before=_searched_emails(user.email),
        after=_searched_emails(email),
    )


def _searched_emails(email: str) -> tuple[str, str]:
    """Both spellings of an address: as displayed, and with an international domain's A-labels."""
    return folded(email), fold_email(email)


def etag(user: User) -> str:
    """The version of a user's visible and editable fields. Signing in doesn't change it."""
    return etag_of(user.id, user.name, user.email, user.role, user.deactivated_at)


def require_unchanged(user: User, if_match: Collection[str] | None) -> None:
    """Raise Conflict (``changed_meanwhile``) unless *if_match* names the user's version."""
    rows.require_unchanged(user, etag(user), if_match, "this user")


def subject_of(user: User) -> Subject:
    """A user as the subject of audit events and receipts."""
    return Subject("user", user.id, user.name)


def record(write: Write, actor: Actor, what: str, user: User, **fields: Mapping[str, Any]) -> None:
    """Write the audit event ``user.{what}``; *fields* are ``before`` and ``after``."""
    log.record(write, actor, f"user.{what}", subject_of(user), company=user.company, **fields)


def publish_holder(change: Change, user: User, **changed: Any) -> None:
    """Publish a user's holder record with *changed* fields, as decisions read it."""
    holder = published_holder(change, user.id) or Holder(
        user.id, user.company, True, user.role, name=user.name
    )
    publish(change, msgspec.structs.replace(holder, **changed))


def user_of(row: Row[Any]) -> User:
    """A row of the users table as a record."""
    return rows.record_of(
        User,
        row,
        company=row.company_id,
        status=rows.status_of(row),
        second_factor=row.totp_sealed is not None,
        deactivated_by=rows.deactivated_by(row),
    )
