"""Service accounts and external owners: create, put by external id, modify."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from sqlalchemy import insert, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.errors import Conflict, Forbidden
from gatepass.core.grants import EXTERNAL, SERVICE_ACCOUNT
from gatepass.registry.actor import Actor
from gatepass.registry.audit import log
from gatepass.registry.directory import companies
from gatepass.registry.directory.owner_records import (
    TYPES,
    Owner,
    OwnerType,
    by_external_id,
    etag,
    find,
    holder_of,
    owner_of,
    require_active,
    subject_of,
)
from gatepass.registry.directory.owner_roles import require_not_above, require_role
from gatepass.registry.directory.published_roles import publish_roles
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, published_holder
from gatepass.registry.input.external_ids import external_id_problem
from gatepass.registry.input.text import Problems, folded, label_problem
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Write
from gatepass.registry.storage.tables import owners
from gatepass.registry.storage.word_index import OWNER_NAMES

_PREFIXES = {SERVICE_ACCOUNT: "svc", EXTERNAL: "ext"}
_A = {SERVICE_ACCOUNT: "a service account", EXTERNAL: "an external owner"}
_MANAGE = "service-accounts:manage"


def create(change: Change, actor: Actor, *, catalogue: Catalogue, name: str, role: str) -> Owner:
    """Create a service account of the actor's company.

    Args:
        role: a role's id.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``service-accounts:manage``, or without a
            permission of the role.
        InvalidInput: for ``name`` or ``role`` (``require_role``).
    """
    actor = acting(change, actor, _MANAGE, person=True)
    if actor.company is None:
        raise Forbidden(
            "Only a signed-in user can create a service account.", reason="signed_in_user_required"
        )
    _read({"name": name})
    require_role(change, actor.company, role, held_by=actor)
    return _add(change, actor, catalogue, actor.company, SERVICE_ACCOUNT, None, name, role)


def put(
    change: Change,
    actor: Actor,
    company: str,
    external_id: str,
    *,
    catalogue: Catalogue,
    type: OwnerType,
    name: str,
    role: str,
) -> tuple[Owner, bool]:
    """Create or change a company's active owner with an external id. Idempotent.

    Args:
        company: its id, or ``ext:`` and its external id.
        type: ``service_account`` or ``external``.
        role: a role's id.

    Returns:
        The owner, and whether it was created.

    Raises:
        Forbidden: as ``acting`` says for the area ``owners``.
        NotFound: there is no such company, or the admin key is limited to another one.
        InvalidInput: with all errors of ``external_id``, ``type`` and ``name``; for ``role``
            (``require_role``).
        Conflict: ``type_differs``, ``company_deactivated``.
    """
    actor = acting(change, actor, area="owners")
    company = companies.find_active(change, actor, company).id
    _read({"external_id": external_id, "type": type, "name": name})
    owner = by_external_id(change, company, external_id)
    if owner is None or owner.role != role:
        # One that it has may have been widened since; repeating a call changes nothing.
        require_role(change, company, role)
    if owner is None:
        return _add(change, actor, catalogue, company, type, external_id, name, role), True
    if owner.type != type:
        raise Conflict(
            f"The owner with this external id is {_A[owner.type]}.",
            reason="type_differs",
            current=owner,
        )
    return _change(change, actor, catalogue, owner, {"name": name, "role": role}), False


def modify(
    change: Change,
    actor: Actor,
    reference: str,
    *,
    catalogue: Catalogue,
    changes: Mapping[str, object],
    if_match: Collection[str] | None = None,
) -> Owner:
    """Change the fields of a service account that *changes* has: ``name``, ``role``. Idempotent.

    Args:
        reference: its id, or ``ext:`` and its external id.
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``service-accounts:manage``, or without a
            permission of the present or the new role.
        NotFound: there is no such service account, or it is another company's.
        Conflict: ``changed_meanwhile``, with the ``current`` record; ``owner_deactivated``.
        InvalidInput: with all errors of the fields.
    """
    actor = acting(change, actor, _MANAGE, person=True)
    owner = find(change, actor.company, reference, SERVICE_ACCOUNT)
    rows.require_unchanged(owner, etag(owner), if_match, "this service account")
    require_active(owner)
    _read(changes)
    require_not_above(change, actor, owner)
    role = changes.get("role", owner.role)
    if role != owner.role:
        require_role(change, owner.company, role, held_by=actor)
    return _change(change, actor, catalogue, owner, changes)


def record(
    write: Write, actor: Actor, what: str, owner: Owner, **fields: Mapping[str, Any]
) -> None:
    """Write the audit event ``owner.{what}``; *fields* are ``before`` and ``after``."""
    subject = subject_of(owner)
    log.record(write, actor, f"owner.{what}", subject, company=owner.company, **fields)


def publish_holder(change: Change, owner: Owner, **changed: Any) -> None:
    """Publish an owner's holder record with *changed* fields, as decisions read it."""
    holder = published_holder(change, owner.id) or holder_of(owner)
    publish(change, msgspec.structs.replace(holder, **changed))


def _add(
    change: Change,
    actor: Actor,
    catalogue: Catalogue,
    company: str,
    type: OwnerType,
    external_id: str | None,
    name: str,
    role: str,
) -> Owner:
    now, id = change.now, new_id(_PREFIXES[type])
    owner = Owner(id, company, type, external_id, name, role, "active", now, actor.person)
    change.session.execute(
        insert(owners),
        {
            "id": owner.id,
            "company_id": company,
            "type": type,
            "external_id": external_id,
            "name": name,
            "name_searched": folded(name),
            "role": role,
            "created_at": now,
            "created_by": actor.user,
            "created_by_name": actor.name,
        },
    )
    OWNER_NAMES.add(change, company, owner.id, now, [folded(name)])
    publish(change, holder_of(owner))
    _publish_role(change, catalogue, owner)
    after: dict[str, Any] = {"type": type, "name": name, "role": role}
    if external_id is not None:
        after["external_id"] = external_id
    record(change, actor, "created", owner, after=after)
    return owner


def _change(
    change: Change,
    actor: Actor,
    catalogue: Catalogue,
    owner: Owner,
    changes: Mapping[str, object],
) -> Owner:
    before = {name: getattr(owner, name) for name in changes}
    after: dict[str, Any] = {
        name: value for name, value in changes.items() if value != before[name]
    }
    if not after:
        return owner
    values = dict(after)
    if "name" in after:
        values["name_searched"] = folded(after["name"])
        OWNER_NAMES.replace(
            change,
            owner.company,
            owner.id,
            owner.created_at,
            before=[folded(owner.name)],
            after=[folded(after["name"])],
        )
    rows.update_row(change, owners, owner.id, **values)
    changed = owner_of(change.session.execute(select(owners).where(owners.c.id == owner.id)).one())
    publish(change, holder_of(changed))
    if "role" in after:
        _publish_role(change, catalogue, changed)
    former = {name: before[name] for name in after}
    record(change, actor, "modified", changed, before=former, after=after)
    return changed


def _publish_role(change: Change, catalogue: Catalogue, owner: Owner) -> None:
    if owner.type == EXTERNAL:
        publish_roles(change, catalogue, owner.company)


def _read(given: Mapping[str, object]) -> None:
    """Check fields; the role is checked by ``require_role``.

    Raises:
        InvalidInput: with all errors.
    """
    problems = Problems()
    for field, value in given.items():
        problem: str | None = None
        if field == "name":
            problem = label_problem(value)
        elif field == "external_id":
            problem = external_id_problem(value)
        elif field == "type":
            problem = None if value in TYPES else "Must be external or service_account."
        elif field != "role":
            problem = "Must be left out: it can't be set."
        if problem is not None:
            problems.add(field, problem)
    problems.settle()
