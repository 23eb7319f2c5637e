"""Records of service accounts and external owners, and the holders that derive from them.

They own access tokens, have a role, and never sign in. Each belongs to one company. A service
account stands for a program of the company, so that its tokens outlive the people who made them. An
external owner stands for a customer of another product, under that product's id.
"""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, select

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, NotFound
from gatepass.core.grants import EXTERNAL, SERVICE_ACCOUNT, Holder, external_role
from gatepass.registry.actor import Person, Subject
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.tables import owners

OwnerType = Literal["service_account", "external"]
TYPES: tuple[OwnerType, ...] = (SERVICE_ACCOUNT, EXTERNAL)
NOUNS = {SERVICE_ACCOUNT: "service account", EXTERNAL: "external owner"}


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


def holder_of(owner: Owner) -> Holder:
    """An owner as decisions read it."""
    return Holder(
        owner.id,
        owner.company,
        owner.status == "active",
        external_role(owner.role) if owner.type == EXTERNAL else owner.role,
        type=owner.type,
        name=owner.name,
        external_id=owner.external_id,
    )
