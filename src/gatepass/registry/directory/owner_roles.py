"""The roles that service accounts and external owners may have."""

from collections.abc import Collection

from gatepass.core.catalogue import CONTROL_PLANE, OPEN_TO_OWNERS, OPEN_TO_SERVICE_ACCOUNTS
from gatepass.core.errors import InvalidInput
from gatepass.core.permissions import EVERYTHING, covers
from gatepass.registry.actor import Actor
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.storage.database import Reading

_CLOSED = "a permission of Gatepass other than access-tokens:get and access-tokens:search"
_CLOSED_TO_SERVICE_ACCOUNTS = (
    "a permission of Gatepass other than access-tokens:get, access-tokens:search and "
    "own-token:rotate"
)


def require_role(
    reading: Reading, company: str, role: object, *, held_by: Actor | None = None
) -> None:
    """Require that an owner may have the role with id *role*.

    None that grants ``*`` or changes anything in the control plane: an owner is no person.

    Args:
        held_by: somebody of the company, who must hold all that the role grants. Only they can give
            a service account the permission to rotate its tokens.

    Raises:
        InvalidInput: for ``role``; the company has none of that id, or it grants too much.
        Forbidden: ``permission_missing``.
    """
    roles = published_roles(reading, company)
    if not isinstance(role, str) or role not in roles:
        raise InvalidInput([("role", "Must be the id of a role.")])
    permits = roles[role]
    fits, closed = fits_owners, _CLOSED
    if held_by is not None:
        held_by.require_held(permits)
        fits, closed = fits_service_accounts, _CLOSED_TO_SERVICE_ACCOUNTS
    if not fits(permits):
        raise InvalidInput([("role", f"Must not include * or {closed}: only a user's role can.")])


def fits_owners(permits: Collection[str]) -> bool:
    """Whether a role that permits *permits* is one that a platform may give owners."""
    return _fits(permits, OPEN_TO_OWNERS)


def fits_service_accounts(permits: Collection[str]) -> bool:
    """Whether it is one that people of the company may give service accounts."""
    return _fits(permits, OPEN_TO_SERVICE_ACCOUNTS)


def _fits(permits: Collection[str], open_: Collection[str]) -> bool:
    return EVERYTHING not in permits and not any(
        covers(permits, known.name) for known in CONTROL_PLANE if known.name not in open_
    )


def require_open(permissions: Collection[str]) -> None:
    """Require that a platform's tokens may hold *permissions*: none that is closed to owners.

    A role that an owner has may be widened later, by people of its company. That must not let the
    platform, or a customer in a portal session, act on the control plane in their place.

    Raises:
        InvalidInput: for ``permissions``.
    """
    for name in permissions:
        if not fits_owners([name]):
            message = f"Must not include {name}: it is or covers {_CLOSED}."
            raise InvalidInput([("permissions", message)])


def require_not_above(reading: Reading, actor: Actor, owner: Owner) -> None:
    """Raise Forbidden (``permission_missing``) unless the actor holds what the role grants."""
    actor.require_held(published_roles(reading, owner.company).get(owner.role, ()))
