"""Deactivating a service account or an external owner, with all of its access tokens.

It takes effect on the next call of all its tokens: decisions read it from one row (the holder).
"""

from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.directory.owner_records import Owner, find, subject_of
from gatepass.registry.directory.owner_roles import require_not_above
from gatepass.registry.directory.owners import publish_holder, record
from gatepass.registry.grants.authorization import acting
from gatepass.registry.replication import receipts
from gatepass.registry.storage.database import Change
from gatepass.registry.storage.rows import mark_deactivated
from gatepass.registry.storage.tables import owners
from gatepass.registry.tokens.ending.of_owner import deactivate_all


def deactivate(change: Change, actor: Actor, reference: str, *, type: str | None = None) -> Owner:
    """Deactivate an owner of the actor's company, and each of its tokens, for good. Idempotent.

    Args:
        reference: its id, or ``ext:`` and its external id.
        type: of this type alone.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``service-accounts:manage``, or without a
            permission of the owner's role.
        NotFound: there is none, or it is another company's.
    """
    actor = acting(change, actor, "service-accounts:manage", person=True)
    owner = find(change, actor.company, reference, type)
    if owner.status == "active":
        require_not_above(change, actor, owner)
    return _ended(change, actor, owner)


def deactivate_of(change: Change, actor: Actor, company: str, reference: str) -> Owner:
    """``deactivate`` an owner of a company, which may itself be deactivated.

    Args:
        company, reference: an id, or ``ext:`` and an external id.

    Raises:
        Forbidden: as ``acting`` says for the area ``owners``.
        NotFound: there is no such company, it has no such owner, or the admin key is limited to
            another company.
    """
    actor = acting(change, actor, area="owners")
    its = companies.find(change, actor, company).id
    return _ended(change, actor, find(change, its, reference))


def _ended(change: Change, actor: Actor, owner: Owner) -> Owner:
    if owner.status != "active":
        return owner
    mark_deactivated(change, actor, owners, owners.c.id == owner.id)
    publish_holder(change, owner, active=False)
    before, after = {"deactivated_at": None}, {"deactivated_at": change.now}
    record(change, actor, "deactivated", owner, before=before, after=after)
    receipts.begin(change, [subject_of(owner)], company=owner.company)
    deactivate_all(change, actor, owner.id)
    return find(change, owner.company, owner.id)
