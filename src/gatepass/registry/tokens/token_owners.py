"""The owner of a new token: the actor, or a service account or external owner of its company."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from gatepass.core.display_text import isolated
from gatepass.core.errors import Conflict, Forbidden, NotFound
from gatepass.core.grants import EXTERNAL, SERVICE_ACCOUNT, USER, external_role
from gatepass.core.permissions import covers
from gatepass.registry.actor import Actor
from gatepass.registry.directory import owner_records, user_search, users
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import (
    published_holder,
    published_roles,
    published_rules,
)
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.records import TokenOwner

_NOTHING = frozenset[str]()


@dataclass(frozen=True, slots=True)
class NewOwner:
    """The owner of a token that is being created.

    Attributes:
        role: the permissions of its role.
        permits: those that are effective for this type of owner.
    """

    owner: TokenOwner
    role: Collection[str]
    permits: Collection[str]

    def require_granted(self, permissions: Collection[str]) -> None:
        """Require that the owner's role grants all of *permissions*.

        A token with others would gain them, unasked, once the role did.

        Raises:
            Forbidden: ``permission_missing``.
        """
        _require_granted(self.owner.name, self.role, permissions)


def of_new_token(reading: Reading, actor: Actor, reference: str | None) -> NewOwner:
    """The owner that *reference* names.

    Args:
        reference: an id, or ``ext:`` and an external id; None is the actor, or the owner of its
            portal session, which can name no other.

    Raises:
        Forbidden: ``permission_missing``: ``service-accounts:manage``; ``not_owner``: it is another
            user.
        NotFound: there is none, or it is another company's.
        Conflict: ``owner_deactivated``.
    """
    if actor.is_portal_session:
        return _own_owner(reading, actor, reference)
    if reference in (None, actor.user):
        # A signed-in user holds what their role permits.
        mine = TokenOwner(USER, actor.user or "", None, actor.name)
        return NewOwner(mine, actor.permissions, actor.permissions)
    assert reference is not None
    if users.is_user(reference):
        user = user_search.find(reading, actor, reference)
        raise Forbidden(
            f"Only {isolated(user.name)} can create access tokens of their own.",
            reason="not_owner",
        )
    actor.require("service-accounts:manage")
    return of_company(reading, actor.company or "", reference)


def _own_owner(reading: Reading, actor: Actor, reference: str | None) -> NewOwner:
    """The owner of a portal session, to which no other one exists."""
    owner = owner_records.find(reading, actor.company, reference or actor.user or "")
    if owner.id != actor.user:
        raise NotFound("There is no such owner.")
    return of_company(reading, owner.company, owner.id)


def of_company(reading: Reading, company: str, reference: str) -> NewOwner:
    """The service account or external owner that *reference* names. Performs no permission check.

    Args:
        company: an id.
        reference: an id, or ``ext:`` and an external id.

    Raises:
        NotFound: there is none, it is another company's, or it is a user.
        Conflict: ``owner_deactivated``.
    """
    owner = owner_records.find(reading, company, reference)
    owner_records.require_active(owner)
    roles = published_rules(reading, owner.company).roles
    role = roles.get(owner.role, _NOTHING)
    permits = roles.get(external_role(owner.role), _NOTHING) if owner.type == EXTERNAL else role
    return NewOwner(TokenOwner(owner.type, owner.id, owner.external_id, owner.name), role, permits)


def recipient(reading: Reading, company: str, type: str, reference: str) -> NewOwner:
    """The user or service account of a company that tokens are handed over to.

    Performs no permission check.

    Args:
        company: an id.
        type: ``user`` or ``service_account``.
        reference: its id; a service account's may be ``ext:`` and its external id.

    Raises:
        NotFound: there is none of that type, or it is another company's.
        Conflict: ``owner_deactivated``.
    """
    found: User | Owner
    if type == USER:
        found, external_id = users.get(reading, reference), None
        if found.company != company:
            raise NotFound("There is no such user.")
    else:
        found = owner_records.find(reading, company, reference, SERVICE_ACCOUNT)
        external_id = found.external_id
    if found.status != "active":
        raise Conflict(f"{isolated(found.name)} is deactivated.", reason="owner_deactivated")
    role = published_roles(reading, company).get(found.role, _NOTHING)
    return NewOwner(TokenOwner(type, found.id, external_id, found.name), role, role)


def of_token(reading: Reading, token: Row[Any]) -> NewOwner:
    """The owner of a token, for one that replaces it. Performs no permission check.

    Args:
        token: a row of ``records.STORED``.

    Raises:
        Conflict: ``owner_deactivated``.
    """
    if token.owner_type != USER:
        return of_company(reading, token.company_id, token.owner_id)
    holder = published_holder(reading, token.owner_id)
    if holder is None or not holder.active:
        raise Conflict(f"{isolated(token.owner_name)} is deactivated.", reason="owner_deactivated")
    role = published_rules(reading, token.company_id).roles.get(holder.role, _NOTHING)
    return NewOwner(TokenOwner(USER, token.owner_id, None, token.owner_name), role, role)


def name_of(reading: Reading, actor: Actor, owner_id: str) -> str | None:
    """The name of an owner of the actor's company, as its tokens' records have it; None if there is
    none. Performs no permission check.
    """
    try:
        if users.is_user(owner_id):
            return user_search.find(reading, actor, owner_id).name
        return owner_records.find(reading, actor.company, owner_id).name
    except NotFound:
        return None


def require_granted(reading: Reading, token: Row[Any], added: Collection[str]) -> None:
    """Require that the role of a token's owner grants the permissions *added* to it.

    Users add permissions that they hold to each other's tokens; so this binds other owners alone.

    Args:
        token: a row of ``records.STORED``.

    Raises:
        Forbidden: ``permission_missing``.
    """
    if token.owner_type != USER:
        role = published_roles(reading, token.company_id).get(token.owner_role, _NOTHING)
        _require_granted(token.owner_name, role, added)


def _require_granted(owner: str, role: Collection[str], permissions: Collection[str]) -> None:
    for name in sorted(permissions):
        if not covers(role, name):
            raise Forbidden(f"The role of {isolated(owner)} doesn't grant {name}.", permission=name)
