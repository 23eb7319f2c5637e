"""What a new catalogue would take from the access tokens and roles that there are."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select

from gatepass.core.catalogue import Catalogue
from gatepass.core.catalogue_differences import Differences, differences
from gatepass.registry.actor import Actor
from gatepass.registry.directory import catalogue_versions
from gatepass.registry.grants.published_catalogue import current_catalogue
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.long_statements import without_response_timeout
from gatepass.registry.storage.tables import (
    access_token_permissions,
    access_tokens,
    companies,
    roles,
)

#: Companies, and tokens, that are named for each permission.
NAMED = 20
_AT_ONCE = 500

_holding = access_token_permissions.c
_token = access_tokens.c


@dataclass(frozen=True, slots=True)
class HoldingCompany:
    """A company with active access tokens that hold a permission."""

    id: str
    name: str
    tokens: int


@dataclass(frozen=True, slots=True)
class HoldingToken:
    """An active access token that holds a permission."""

    id: str
    label: str
    company: str


@dataclass(frozen=True, slots=True)
class Holders:
    """Who holds a permission that would no longer permit anything.

    Attributes:
        permission: a name, or ``resource:*``.
        tokens, roles: how many active tokens hold it, how many companies' own roles.
        companies: the ``NAMED`` with the most tokens.
        newest: the ``NAMED`` newest tokens.
    """

    permission: str
    tokens: int
    roles: int
    companies: Sequence[HoldingCompany]
    newest: Sequence[HoldingToken]


@dataclass(frozen=True, slots=True)
class CatalogueImpact:
    """The differences from the present catalogue, and who holds what would be lost.

    Attributes:
        holders: of each lost permission that any token or role holds.
    """

    differences: Differences
    holders: Sequence[Holders]


def preview(reading: Reading, actor: Actor, text: str, *, catalogue: Catalogue) -> CatalogueImpact:
    """What publishing *text* would do.

    Args:
        catalogue: counts while the installation has none.

    Raises:
        Forbidden: ``operator_required``, ``signed_in_user_required``.
        InvalidInput: for ``text``, with the line of each problem.
    """
    actor.require_signed_in()
    actor.require_operator()
    found = differences(current_catalogue(reading, catalogue), catalogue_versions.read(text))
    return CatalogueImpact(found, holders(reading, found.lost))


def holders(reading: Reading, permissions: Sequence[str]) -> list[Holders]:
    """Who holds each of *permissions*; those that nobody holds are left out.

    Performs no permission check.
    """
    found: list[Holders] = []
    if not permissions:
        return found
    of_roles = _roles_holding(reading, frozenset(permissions))
    counts: dict[str, list[HoldingCompany]] = {}
    # It reads the index of all tokens' permissions.
    with without_response_timeout(reading.session.connection()):
        for start in range(0, len(permissions), _AT_ONCE):
            part = permissions[start : start + _AT_ONCE]
            rows = reading.session.execute(
                select(
                    _holding.permission, companies.c.id, companies.c.name, func.count().label("n")
                )
                .join_from(access_token_permissions, access_tokens, _token.id == _holding.id)
                .join(companies, companies.c.id == _holding.company_id)
                .where(_holding.permission.in_(part), _active(reading.now))
                .group_by(_holding.permission, companies.c.id, companies.c.name)
                .order_by(func.count().desc(), companies.c.id)
            )
            for permission, id, name, number in rows:
                counts.setdefault(permission, []).append(HoldingCompany(id, name, number))
    for permission in permissions:
        of_companies, own = counts.get(permission, []), of_roles.get(permission, 0)
        if of_companies or own:
            tokens = sum(each.tokens for each in of_companies)
            named = of_companies[:NAMED]
            newest = _newest(reading, permission, [each.id for each in named])
            found.append(Holders(permission, tokens, own, named, newest))
    return found


def _newest(reading: Reading, permission: str, of: Sequence[str]) -> list[HoldingToken]:
    rows = reading.session.execute(
        select(_token.id, _token.label, _token.company_id)
        .join_from(access_token_permissions, access_tokens, _token.id == _holding.id)
        .where(_holding.company_id.in_(of), _holding.permission == permission)
        .where(_active(reading.now))
        .order_by(_token.created_at.desc(), _token.id.desc())
        .limit(NAMED)
    )
    return [HoldingToken(*row) for row in rows]


def _active(now: int) -> ColumnElement[bool]:
    return and_(
        _token.deactivated_at.is_(None), or_(_token.expires_at.is_(None), _token.expires_at > now)
    )


def _roles_holding(reading: Reading, permissions: frozenset[str]) -> dict[str, int]:
    """How many companies' own roles name each of *permissions*."""
    counts: dict[str, int] = {}
    for (chosen,) in reading.session.execute(select(roles.c.permissions)):
        for name in permissions.intersection(chosen):
            counts[name] = counts.get(name, 0) + 1
    return counts
