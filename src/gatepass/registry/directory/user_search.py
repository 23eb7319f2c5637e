"""Searching a company's users, one page at a time, newest first."""

from sqlalchemy import or_, select

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.directory.users import User, user_of
from gatepass.registry.input.text import folded, search_text, storable
from gatepass.registry.storage import rows, scans
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Page, contains, read_cursor, read_limit
from gatepass.registry.storage.scans import Scan
from gatepass.registry.storage.tables import users
from gatepass.registry.storage.word_index import USER_EMAILS, USER_NAMES

STATUSES = {
    "active": users.c.deactivated_at.is_(None),
    "deactivated": users.c.deactivated_at.is_not(None),
}


def get(reading: Reading, actor: Actor, user_id: str) -> User:
    """One user of the actor's company.

    Raises:
        Forbidden: without ``users:get``.
        NotFound: there is none, or it is another company's.
    """
    actor.require("users:get")
    return find(reading, actor, user_id)


def find(reading: Reading, actor: Actor, user_id: str) -> User:
    """One user of the actor's company. Performs no permission check.

    Raises:
        NotFound: there is none, or it is another company's.
    """
    found = select(users).where(users.c.id == user_id, *rows.of_company(actor, users))
    return user_of(rows.find(reading, found, user_id, "user"))


def list_(
    reading: Reading,
    actor: Actor,
    *,
    q: str | None = None,
    status: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    counted: bool = True,
) -> Page[User]:
    """A page of the company's users, newest first.

    Args:
        q: part of the name or e-mail address, ignoring case and surrounding spaces.
        status: ``active`` or ``deactivated``.
        counted: whether to count all that match.

    Raises:
        Forbidden: without ``users:get``.
        InvalidInput: for ``status``, ``cursor`` or ``limit``.
    """
    actor.require("users:get")
    if status not in (None, *STATUSES):
        raise InvalidInput([("status", "Must be active or deactivated.")])
    after, limit = read_cursor(cursor), read_limit(limit)
    q = search_text(q)
    with scans.by_index(reading):
        found = _scans(reading, actor, folded(q), status) if storable(q) else []
        ids, more = scans.page(reading, found, after, limit)
        whole = after is None and more is None
        number = len(ids) if whole else scans.count(reading, found) if counted else None
    page = {
        row.id: row for row in reading.session.execute(select(users).where(users.c.id.in_(ids)))
    }
    return Page([user_of(page[id]) for id in ids], more, number)


def by_status(reading: Reading, company: str) -> dict[str, int]:
    """The number of a company's users of each status, as ``Page.count`` has it."""
    ours = users.c.company_id == company
    with scans.by_index(reading):
        return {
            status: scans.count(reading, [Scan(users, [ours, condition])])
            for status, condition in STATUSES.items()
        }


def _scans(reading: Reading, actor: Actor, q: str, status: str | None) -> list[Scan]:
    """Scans that find the users."""
    of_status = [] if status is None else [STATUSES[status]]
    ours = rows.of_company(actor, users)
    if not q:
        return [Scan(users, [*ours, *of_status])]
    texts = {
        USER_NAMES: contains(reading, users.c.name_searched, q),
        # An internationalized domain matches in both spellings: as displayed, and by its A-labels.
        USER_EMAILS: or_(
            contains(reading, users.c.email_searched, q),
            contains(reading, users.c.email_folded, q),
        ),
    }
    if actor.company is None:
        return [Scan(users, of_status, [or_(*texts.values())])]
    by_name = scans.either(
        [
            index.find(reading, actor.company, q).way(reading, of_status, matches)
            for index, matches in texts.items()
        ]
    )
    return scans.fastest(
        reading,
        [by_name],
        [Scan(users, [*ours, *of_status])],
        [or_(*texts.values())],
        narrow=status is not None,
    )
