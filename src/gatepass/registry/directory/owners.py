"""Service accounts and external owners: they own access tokens, have a role, and never sign in.

Each belongs to one company. A service account stands for a program of the company, so that its
tokens outlive the people who made them. An external owner stands for a customer of another product,
under that product's id.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Row, insert, select

from gatepass.core.catalogue import CONTROL_PLANE, OPEN_TO_OWNERS, Catalogue
from gatepass.core.credentials import new_id
from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import EXTERNAL, SERVICE_ACCOUNT, Holder, external_role
from gatepass.core.permissions import EVERYTHING, covers
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory.published_roles import publish_roles
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import (
    publish,
    published_holder,
    published_roles,
    published_rules,
)
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID, external_id_problem
from gatepass.registry.input.text import Problems, folded, label_problem
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.tables import owners
from gatepass.registry.storage.word_index import OWNER_NAMES

OwnerType = Literal["service_account", "external"]
TYPES: tuple[OwnerType, ...] = (SERVICE_ACCOUNT, EXTERNAL)

_PREFIXES = {SERVICE_ACCOUNT: "svc", EXTERNAL: "ext"}
_MANAGE = "service-accounts:manage"


@dataclass(frozen=True, slots=True)
class Owner:
    """A service account or an external owner. Times are Unix ms.

    Attributes:
        external_id: the id it has in another product; None if it has none.
        role: a role's id.
    """

    id: str
    company: str
    type: OwnerType
    external_id: str | None
    name: str
    role: str
    status: Literal["active", "deactivated"]
    created_at: int
    created_by: Person
    deactivated_at: int | None = None
    deactivated_by: Person | None = None


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
    """Create or change the active owner with an external id. Idempotent. Operators only.

    Args:
        company, role: ids.
        type: ``service_account`` or ``external``.

    Returns:
        The owner, and whether it was created.

    Raises:
        Forbidden: ``signed_in_user_required``, ``operator_required``.
        NotFound: there is no such company.
        InvalidInput: with all errors of ``external_id``, ``type`` and ``name``; for ``role``
            (``require_role``).
        Conflict: ``type_differs``, ``company_deactivated``.
    """
    actor = acting(change, actor, person=True, operator=True)
    if not published_rules(change, company).active:
        raise Conflict("This company is deactivated.", reason="company_deactivated")
    _read({"external_id": external_id, "type": type, "name": name})
    require_role(change, company, role)
    owner = by_external_id(change, company, external_id)
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


def find(reading: Reading, company: str | None, reference: str, type: str | None = None) -> Owner:
    """One owner of a company. Performs no permission check.

    Args:
        company: an id; None is any company, and *reference* an id.
        reference: its id, or ``ext:`` and its external id: then the active one, if there is one,
            else the latest that had it.
        type: of this type alone.

    Raises:
        NotFound: there is none, or it is another company's.
    """
    noun = NOUNS.get(type or "", "owner")
    ours = [] if company is None else [owners.c.company_id == company]
    if company is not None and reference.startswith(BY_EXTERNAL_ID):
        named = owners.c.external_id == reference.removeprefix(BY_EXTERNAL_ID)
    else:
        named = owners.c.id == reference
    ended = owners.c.deactivated_at
    found = (
        select(owners)
        .where(named, *ours)
        .order_by(ended.is_not(None), owners.c.created_at.desc(), owners.c.id.desc())
        .limit(1)
    )
    owner = owner_of(rows.find(reading, found, reference, noun))
    if type not in (None, owner.type):
        raise NotFound(f"There is no such {noun}.")
    return owner


def by_external_id(reading: Reading, company: str, external_id: str) -> Owner | None:
    """The active owner of a company with that external id."""
    row = reading.session.execute(
        select(owners).where(
            owners.c.company_id == company,
            owners.c.external_id == external_id,
            owners.c.deactivated_at.is_(None),
        )
    ).one_or_none()
    return None if row is None else owner_of(row)


def require_role(
    reading: Reading, company: str, role: object, *, held_by: Actor | None = None
) -> None:
    """Require that an owner may have the role with id *role*.

    None that grants ``*`` or changes anything in the control plane: an owner is no person.

    Args:
        held_by: must hold all that the role grants.

    Raises:
        InvalidInput: for ``role``; the company has none of that id, or it grants too much.
        Forbidden: ``permission_missing``.
    """
    roles = published_roles(reading, company)
    if not isinstance(role, str) or role not in roles:
        raise InvalidInput([("role", "Must be the id of a role.")])
    permits = roles[role]
    if held_by is not None:
        held_by.require_held(permits)
    if not fits_owners(permits):
        raise InvalidInput([("role", f"Must not include * or {_CLOSED}: only a user's role can.")])


def fits_owners(permits: Collection[str]) -> bool:
    """Whether a role that permits *permits* is one that owners may have."""
    return EVERYTHING not in permits and not any(
        covers(permits, known.name) for known in CONTROL_PLANE if known.name not in OPEN_TO_OWNERS
    )


def require_not_above(reading: Reading, actor: Actor, owner: Owner) -> None:
    """Raise Forbidden (``permission_missing``) unless the actor holds what the role grants."""
    actor.require_held(published_roles(reading, owner.company).get(owner.role, ()))


def require_active(owner: Owner) -> None:
    """Raise Conflict (``owner_deactivated``) if *owner* is."""
    if owner.status != "active":
        raise Conflict(
            f"{isolated(owner.name)} is deactivated.", reason="owner_deactivated", current=owner
        )


def etag(owner: Owner) -> str:
    """The version of an owner's visible and editable fields."""
    return etag_of(owner.id, owner.name, owner.role, owner.deactivated_at)


def subject_of(owner: Owner) -> Subject:
    """An owner as the subject of audit events and receipts."""
    return Subject("owner", owner.id, owner.name)


def record(
    write: Write, actor: Actor, what: str, owner: Owner, **fields: Mapping[str, Any]
) -> None:
    """Write the audit event ``owner.{what}``; *fields* are ``before`` and ``after``."""
    subject = subject_of(owner)
    log.record(write, actor, f"owner.{what}", subject, company=owner.company, **fields)


def publish_holder(change: Change, owner: Owner, **changed: Any) -> None:
    """Publish an owner's holder record with *changed* fields, as decisions read it."""
    holder = published_holder(change, owner.id) or _holder(owner)
    publish(change, msgspec.structs.replace(holder, **changed))


def owner_of(row: Row[Any]) -> Owner:
    """A row of the owners table as a record."""
    return rows.record_of(
        Owner,
        row,
        company=row.company_id,
        status=rows.status_of(row),
        created_by=Person(row.created_by, row.created_by_name),
        deactivated_by=rows.deactivated_by(row),
    )


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
    publish(change, _holder(owner))
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
    publish(change, _holder(changed))
    if "role" in after:
        _publish_role(change, catalogue, changed)
    former = {name: before[name] for name in after}
    record(change, actor, "modified", changed, before=former, after=after)
    return changed


def _publish_role(change: Change, catalogue: Catalogue, owner: Owner) -> None:
    if owner.type == EXTERNAL:
        publish_roles(change, catalogue, owner.company)


def _holder(owner: Owner) -> Holder:
    return Holder(
        owner.id,
        owner.company,
        owner.status == "active",
        external_role(owner.role) if owner.type == EXTERNAL else owner.role,
        type=owner.type,
        name=owner.name,
        external_id=owner.external_id,
    )


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


NOUNS = {SERVICE_ACCOUNT: "service account", EXTERNAL: "external owner"}
_A = {SERVICE_ACCOUNT: "a service account", EXTERNAL: "an external owner"}
_CLOSED = "a permission of Gatepass other than access-tokens:get and access-tokens:search"
