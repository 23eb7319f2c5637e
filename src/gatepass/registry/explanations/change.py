"""A change that is only asked about: of a token, of its owner's role, of the company's allowlist.

Nothing is stored. A change is parsed as the operation that would make it parses it (PATCH of a
token, PUT of the allowlist), and applied to what a decision reads.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, cast

import msgspec
from sqlalchemy import Row

from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import InvalidInput
from gatepass.core.grants import (
    EXTERNAL,
    SERVICE_ACCOUNT,
    CompanyRules,
    Grant,
    Holder,
    external_role,
)
from gatepass.core.networks import Networks, parse_network
from gatepass.registry.actor import Actor
from gatepass.registry.directory.owner_roles import fits_owners, fits_service_accounts
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.network_policy import allowlist_entries
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import input as token_fields

T = TypeVar("T")

#: The members that are fields of a token.
OF_TOKEN = ("networks", "domains", "permissions", "expires_at")


class Change(TypedDict, total=False):
    """What would be another value; each member replaces the present one whole.

    Attributes:
        networks, domains, permissions, expires_at: of the token, as ``tokens.input`` returns them.
        role: the id of its owner's role.
        allowlist: the company's entries; none lifts it. It is settled, not on trial.
    """

    networks: Sequence[str]
    domains: Sequence[str]
    permissions: Sequence[str]
    expires_at: int | None
    role: str
    allowlist: Sequence[Entry]


def read_change(
    reading: Reading,
    actor: Actor,
    token: Row[Any],
    given: Mapping[str, Any],
    *,
    catalogue: Catalogue,
) -> Change:
    """Parse a change of what decides about a token.

    The company's policy and approvals aren't asked: the question is what would be.

    Args:
        token: a row of ``tokens.records.STORED``.
        given: some of the members; ``allowlist`` as entries.

    Raises:
        Forbidden: ``permission_missing``: ``allowlist`` without ``company:get``, or ``role``
            without ``roles:get``; ``portal_session`` for either.
        InvalidInput: with all errors, at paths such as ``change.networks.0``.
    """
    if "allowlist" in given:
        actor.require("company:get")
    if "role" in given:
        actor.require("roles:get")
    errors = _Errors()
    of_token = {name: given[name] for name in OF_TOKEN if name in given}
    nothing: dict[str, Any] = {}
    read = errors.collect(
        lambda: token_fields.read(
            of_token,
            kind=token.kind,
            catalogue=catalogue,
            owner_type=token.owner_type,
            stored=token.permissions,
            now=reading.now,
        ),
        nothing,
    )
    found = cast(Change, read)
    if "role" in given:
        found["role"] = errors.collect(lambda: _read_role(reading, token, given["role"]), "")
    if "allowlist" in given:
        entries = given["allowlist"]
        found["allowlist"] = errors.collect(lambda: allowlist_entries.read(entries)[0], ())
    errors.settle()
    return found


def changed(
    grant: Grant,
    holder: Holder | None,
    company: CompanyRules | None,
    change: Change,
    *,
    catalogue: Catalogue,
) -> tuple[Grant, Holder | None, CompanyRules | None]:
    """What a decision would read after *change*.

    Args:
        catalogue: says what a role would grant an external owner.
    """
    if "networks" in change:
        grant = msgspec.structs.replace(grant, networks=_networks(change["networks"]))
    if "domains" in change:
        grant = msgspec.structs.replace(grant, domains=tuple(change["domains"]))
    if "permissions" in change:
        grant = msgspec.structs.replace(grant, permissions=frozenset(change["permissions"]))
    if "expires_at" in change:
        grant = msgspec.structs.replace(grant, expires_at=change["expires_at"])
    if "allowlist" in change and company is not None:
        networks = _networks([entry.network for entry in change["allowlist"]])
        company = msgspec.structs.replace(company, allowlist=networks, trial=None)
    if "role" in change and holder is not None and company is not None:
        role = change["role"]
        if holder.type == EXTERNAL:
            # Published only for roles that an external owner has.
            permits = catalogue.external(company.roles.get(role, ()))
            role = external_role(role)
            company = msgspec.structs.replace(company, roles=company.roles | {role: permits})
        holder = msgspec.structs.replace(holder, role=role)
    return grant, holder, company


def may_have(owner_type: str, permits: frozenset[str]) -> bool:
    """Whether an owner of that type may have a role that permits *permits*."""
    if owner_type == SERVICE_ACCOUNT:
        return fits_service_accounts(permits)
    return owner_type != EXTERNAL or fits_owners(permits)


def _read_role(reading: Reading, token: Row[Any], value: object) -> str:
    roles = published_roles(reading, token.company_id)
    if not isinstance(value, str) or value not in roles:
        raise InvalidInput([("role", "Must be the id of a role.")])
    if not may_have(token.owner_type, roles[value]):
        raise InvalidInput([("role", "Must be a role that such an owner may have.")])
    return value


def _networks(entries: Sequence[str]) -> Networks | None:
    return Networks.of(map(parse_network, entries)) if entries else None


class _Errors:
    """The errors of all members together."""

    def __init__(self) -> None:
        self._errors: list[tuple[str, str]] = []
        self._reasons: set[str] = set()

    def collect(self, read: Callable[[], T], otherwise: T) -> T:
        """What *read* returns; *otherwise* if it raises, and its errors are kept."""
        try:
            return read()
        except InvalidInput as error:
            self._errors += [(_place(field), message) for field, message in error.errors]
            self._reasons.add(error.reason)
            return otherwise

    def settle(self) -> None:
        """Raise InvalidInput if there are errors."""
        if self._errors:
            alone = len(self._reasons) == 1
            raise InvalidInput(self._errors, reason=self._reasons.pop() if alone else "invalid")


def _place(field: str) -> str:
    """A field's path, from the one that the operation itself would name."""
    root, dot, rest = field.partition(".")
    return f"change.{'allowlist' if root == 'entries' else root}{dot}{rest}"
