"""The company whose records are read: the actor's own, or one that a platform refers to."""

from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.storage.database import Reading


def scope(
    reading: Reading,
    actor: Actor,
    company: str | None,
    *,
    permission: str,
    area: str,
    portal: bool = False,
) -> str | None:
    """The id of the company whose records *actor* may read; None means all, for the command line.

    Args:
        company: its id, or ``ext:`` and its external id, for operators and admin keys; None is the
            actor's.
        permission: what reading the records of one's own company needs.
        area: what an admin key needs.
        portal: whether a portal session may read its own company's, without the permission; the
            operation must limit it to records of its owner.

    Raises:
        Forbidden: without *permission*; as ``Actor.require_area`` says for *area*.
        NotFound: there is no such company, or the admin key is limited to another one.
    """
    if company is None:
        actor.require(permission, portal=portal)
        return actor.company
    actor.require_area(area)
    return companies.find(reading, actor, company).id
