"""Roles: named sets of permissions. Every company has the four built-in ones, and its own.

A role is published as one entry in its company's rules, a single row. So a change takes effect on
the next request of all its users and their tokens, and publishes no other row.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import delete as delete_from
from sqlalchemy import func, insert, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden, NotFound
from gatepass.core.grants import EXTERNAL, SERVICE_ACCOUNT
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.published_roles import publish_roles
from gatepass.registry.directory.role_names import look_alike
from gatepass.registry.directory.role_records import Role, built_in, etag, of_company
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.input.permissions import read_permissions
from gatepass.registry.input.text import Problems, folded, label_problem
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.rows import require_unchanged, update_row

#: A limit, because every decision reads the row with all of a company's roles.
MOST_ROLES = 200


def list_(
    reading: Reading,
    actor: Actor,
    *,
    catalogue: Catalogue,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Role]:
    """A page of the company's roles: its own, newest first, then the built-in ones.

    Raises:
        Forbidden: without ``roles:get``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require("roles:get")
    after, limit = read_cursor(cursor), read_limit(limit)
    known = _all(reading, actor, catalogue).values()
    own = [((role.created_at or 0, role.id), role) for role in known if not role.built_in]
    own.sort(key=lambda each: each[0], reverse=True)
    ordered = own + [((-at, each.id), each) for at, each in enumerate(built_in(catalogue))]
    if after is not None:
        ordered = [each for each in ordered if each[0] < (after.number, after.id)]
    page = ordered[:limit]
    more = str(Cursor(*page[-1][0])) if len(ordered) > limit else None
    return Page([role for _, role in page], more)


def get(reading: Reading, actor: Actor, role_id: str, *, catalogue: Catalogue) -> Role:
    """One role of the actor's company.

    Raises:
        Forbidden: without ``roles:get``.
        NotFound: there is none, or it is another company's.
    """
    actor.require("roles:get")
    return find(reading, actor, role_id, catalogue)


def find(reading: Reading, actor: Actor, role_id: str, catalogue: Catalogue) -> Role:
    """One role of the actor's company. Performs no permission check.

    Raises:
        NotFound: there is none, or it is another company's.
    """
    role = _all(reading, actor, catalogue).get(role_id)
    if role is None:
        raise NotFound("There is no such role.")
    return role


def people(reading: Reading, actor: Actor) -> dict[str, int]:
    """The number of active users by role id. Roles without users are omitted.

    Raises:
        Forbidden: without ``roles:get`` or ``roles:manage``.
    """
    if not actor.may("roles:manage"):
        actor.require("roles:get")
    users = tables.users.c
    rows = reading.session.execute(
        select(users.role, func.count().label("number"))
        .where(users.company_id == actor.company, users.deactivated_at.is_(None))
        .group_by(users.role)
    )
    return {row.role: row.number for row in rows}


def create(
    change: Change,
    actor: Actor,
    *,
    catalogue: Catalogue,
    name: str,
    permissions: Sequence[str],
) -> Role:
    """Create a role.

    Args:
        permissions: 1 to 200 of the catalogue; ``resource:*`` and ``*`` are allowed.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``roles:manage``, or without one of the
            *permissions*.
        InvalidInput: with all errors of ``name`` and ``permissions``.
        Conflict: ``name_taken``: the name could be confused with another role of the company,
            built-in ones included (``role_names``); ``too_many_roles``: a company has at most 200
            of its own.
    """
    actor = acting(change, actor, "roles:manage", person=True)
    if actor.company is None:
        raise Forbidden(
            "Only a signed-in user can create a role.", reason="signed_in_user_required"
        )
    found = _read({"name": name, "permissions": permissions}, catalogue)
    actor.require_held(found["permissions"])
    known = _all(change, actor, catalogue)
    _require_free(known, name)
    if sum(not role.built_in for role in known.values()) >= MOST_ROLES:
        raise Conflict(f"A company has up to {MOST_ROLES} roles.", reason="too_many_roles")
    now = change.now
    role = Role(new_id("rol"), name, tuple(found["permissions"]), False, now)
    change.session.execute(
        insert(tables.roles),
        {
            "id": role.id,
            "company_id": actor.company,
            "name": name,
            "name_folded": _key(name),
            "permissions": found["permissions"],
            "created_at": now,
        },
    )
    _settle(change, actor, catalogue, "created", role, after=found)
    return role


def modify(
    change: Change,
    actor: Actor,
    role_id: str,
    *,
    catalogue: Catalogue,
    changes: Mapping[str, object],
    if_match: Collection[str] | None = None,
) -> Role:
    """Change the fields of a role that *changes* has: ``name``, ``permissions``. Idempotent.

    Args:
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``roles:manage``, or without a permission
            that the role has or would get.
        NotFound: there is none, or it is another company's.
        Conflict: ``built_in_role``; ``changed_meanwhile``, with the ``current`` record;
            ``name_taken``.
        InvalidInput: with all errors of the fields.
    """
    actor = acting(change, actor, "roles:manage", person=True)
    role = _changeable(change, actor, role_id, catalogue, if_match)
    found = _read(changes, catalogue)
    actor.require_held([*_permits(change, actor, role), *found.get("permissions", ())])
    before = {"name": role.name, "permissions": list(role.permissions)}
    after = {name: value for name, value in found.items() if value != before[name]}
    if not after:
        return role
    values = dict(after)
    if "name" in after:
        others = _all(change, actor, catalogue)
        del others[role.id]
        _require_free(others, after["name"])
        values["name_folded"] = _key(after["name"])
    update_row(change, tables.roles, role.id, **values)
    role = find(change, actor, role.id, catalogue)
    changed = {name: before[name] for name in after}
    _settle(change, actor, catalogue, "modified", role, before=changed, after=after)
    return role


def delete(
    change: Change,
    actor: Actor,
    role_id: str,
    *,
    catalogue: Catalogue,
    if_match: Collection[str] | None = None,
) -> None:
    """Delete a role that nobody has.

    Args:
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``roles:manage``, or without a permission
            of the role.
        NotFound: there is none, or it is another company's.
        Conflict: ``built_in_role``; ``changed_meanwhile``, with the ``current`` record;
            ``role_in_use`` by an active user, service account or external owner, or by a pending
            invitation.
    """
    actor = acting(change, actor, "roles:manage", person=True)
    role = _changeable(change, actor, role_id, catalogue, if_match)
    actor.require_held(_permits(change, actor, role))
    if _in_use(change, str(actor.company), role):
        raise Conflict(
            f"{isolated(role.name)} is in use: give its users and service accounts another role, "
            "and deactivate its external owners and invitations first.",
            reason="role_in_use",
            current=role,
        )
    change.session.execute(delete_from(tables.roles).where(tables.roles.c.id == role.id))
    before = {"name": role.name, "permissions": list(role.permissions)}
    _settle(change, actor, catalogue, "deleted", role, before=before)


def _changeable(
    reading: Reading,
    actor: Actor,
    role_id: str,
    catalogue: Catalogue,
    if_match: Collection[str] | None,
) -> Role:
    role = find(reading, actor, role_id, catalogue)
    if role.built_in:
        raise Conflict(
            f"{role.name} is built in: it stays as it is.", reason="built_in_role", current=role
        )
    require_unchanged(role, etag(role), if_match, "this role")
    return role


def _permits(reading: Reading, actor: Actor, role: Role) -> frozenset[str]:
    # The published permissions, not the record's: nobody holds a permission that the catalogue
    # removed, and it must not prevent editing the role.
    return published_roles(reading, str(actor.company)).get(role.id, frozenset())


def _in_use(reading: Reading, company: str, role: Role) -> bool:
    users, invitations = tables.users.c, tables.invitations.c
    someone = select(users.id).where(users.role == role.id, users.deactivated_at.is_(None)).limit(1)
    someone_invited = (
        select(invitations.id)
        .where(
            invitations.role == role.id,
            invitations.accepted_at.is_(None),
            invitations.deactivated_at.is_(None),
            invitations.expires_at > reading.now,
        )
        .limit(1)
    )
    owners = tables.owners.c
    owner = (
        select(owners.id)
        .where(
            owners.company_id == company,
            owners.type.in_((SERVICE_ACCOUNT, EXTERNAL)),
            owners.role == role.id,
            owners.deactivated_at.is_(None),
        )
        .limit(1)
    )
    return any(
        reading.session.execute(each).first() is not None
        for each in (someone, someone_invited, owner)
    )


def _all(reading: Reading, actor: Actor, catalogue: Catalogue) -> dict[str, Role]:
    return of_company(reading, catalogue, actor.company or "")


def _read(given: Mapping[str, object], catalogue: Catalogue) -> dict[str, Any]:
    problems = Problems()
    found: dict[str, Any] = {}
    for field, value in given.items():
        if field == "name":
            problem = label_problem(value)
            if problem is not None:
                problems.add("name", problem)
            found["name"] = value
        elif field == "permissions":
            found["permissions"] = read_permissions(value, catalogue, problems, of_role=True)
        else:
            problems.add(field, "Must be left out: it can't be set.")
    problems.settle()
    return found


def _require_free(known: Mapping[str, Role], name: str) -> None:
    taken = look_alike(name, known.values())
    if taken is not None:
        raise Conflict(
            f"A role's name must not look like another's, and {isolated(taken.name)} exists.",
            reason="name_taken",
        )


def _key(name: str) -> str:
    return folded(" ".join(name.split()))


def _settle(
    change: Change,
    actor: Actor,
    catalogue: Catalogue,
    what: str,
    role: Role,
    **fields: dict[str, Any],
) -> None:
    """Publish the permissions of the company's roles, and write the audit event.

    *fields* are ``before`` and ``after``.
    """
    company = str(actor.company)
    publish_roles(change, catalogue, company)
    subject = Subject("role", role.id, role.name)
    log.record(change, actor, f"role.{what}", subject, company=company, **fields)
