"""Searching a company's service accounts and external owners, newest first."""

from sqlalchemy import ColumnElement, select

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.directory.company_scope import scope
from gatepass.registry.directory.owner_records import TYPES, Owner, find, owner_of
from gatepass.registry.input.text import folded, search_text, storable
from gatepass.registry.storage import scans
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Page, contains, read_cursor, read_limit
from gatepass.registry.storage.scans import Scan, Way
from gatepass.registry.storage.tables import owners
from gatepass.registry.storage.word_index import OWNER_NAMES

STATUSES = {
    "active": owners.c.deactivated_at.is_(None),
    "deactivated": owners.c.deactivated_at.is_not(None),
}
_Conditions = list[ColumnElement[bool]]


def get(
    reading: Reading,
    actor: Actor,
    reference: str,
    type: str | None = None,
    *,
    company: str | None = None,
) -> Owner:
    """One owner of a company.

    Args:
        reference: its id, or ``ext:`` and its external id.
        type: of this type alone.
        company: as for ``list_``.

    Raises:
        Forbidden: as ``list_`` says.
        NotFound: there is none, or it is another company's; as ``list_`` says.
    """
    return find(reading, _scope(reading, actor, company), reference, type)


def list_(
    reading: Reading,
    actor: Actor,
    *,
    company: str | None = None,
    q: str | None = None,
    type: str | None = None,
    external_id: str | None = None,
    status: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    counted: bool = True,
) -> Page[Owner]:
    """A page of a company's service accounts and external owners, newest first.

    Args:
        company: for operators, and admin keys with ``owners``: its id, or ``ext:`` and its
            external id. None is the actor's.
        q: part of the name, ignoring case and surrounding spaces; or a whole external id or id.
        type: ``service_account`` or ``external``.
        external_id: exactly this one.
        status: ``active`` or ``deactivated``.
        counted: whether to count all that match.

    Raises:
        Forbidden: without ``service-accounts:manage``; for *company*, as ``scope`` says.
        NotFound: there is no such company, or the admin key is limited to another one.
        InvalidInput: for ``type``, ``status``, ``cursor`` or ``limit``.
    """
    company_id = _scope(reading, actor, company) or ""
    if type not in (None, *TYPES):
        raise InvalidInput([("type", "Must be external or service_account.")])
    if status not in (None, *STATUSES):
        raise InvalidInput([("status", "Must be active or deactivated.")])
    after, limit = read_cursor(cursor), read_limit(limit)
    q = search_text(q)
    with scans.by_index(reading):
        fit = storable(q) and storable(external_id or "")
        found = _scans(reading, company_id, q, type, external_id, status) if fit else []
        ids, more = scans.page(reading, found, after, limit)
        whole = after is None and more is None
        number = len(ids) if whole else scans.count(reading, found) if counted else None
    page = {
        row.id: row for row in reading.session.execute(select(owners).where(owners.c.id.in_(ids)))
    }
    return Page([owner_of(page[id]) for id in ids], more, number)


def by_status(reading: Reading, company: str, type: str) -> dict[str, int]:
    """The number of a company's owners of a type, by status, as ``Page.count`` has it."""
    with scans.by_index(reading):
        return {
            status: scans.count(reading, _scans(reading, company, "", type, None, status))
            for status in STATUSES
        }


def _scope(reading: Reading, actor: Actor, company: str | None) -> str | None:
    return scope(reading, actor, company, permission="service-accounts:manage", area="owners")


def _scans(
    reading: Reading,
    company: str,
    q: str,
    type: str | None,
    external_id: str | None,
    status: str | None,
) -> list[Scan]:
    """Scans that find the owners."""
    table = owners.c
    ours = table.company_id == company
    which: _Conditions = [] if status is None else [STATUSES[status]]
    if external_id is not None:
        of_type: _Conditions = [] if type is None else [table.type == type]
        return [_with_external_id(company, external_id, [*which, *of_type])]
    of_types = [
        Scan(owners, [ours, table.type == each, STATUSES[state]])
        for each in (TYPES if type is None else (type,))
        for state in (STATUSES if status is None else (status,))
    ]
    if not q:
        return of_types
    if type is not None:
        which.append(table.type == type)
    matches = contains(reading, table.name_searched, folded(q))
    by_name = OWNER_NAMES.find(reading, company, folded(q)).way(reading, which, matches)
    exactly = Way(
        [
            _with_external_id(company, q, which),
            Scan(owners, [table.id == q], [ours, *which], few=True),
        ],
        0,
    )
    named = matches | (table.external_id == q) | (table.id == q)
    return scans.fastest(
        reading, [scans.either([by_name, exactly])], of_types, [named], narrow=status is not None
    )


def _with_external_id(company: str, external_id: str, which: _Conditions) -> Scan:
    table = owners.c
    return Scan(owners, [table.company_id == company, table.external_id == external_id], which)
