"""Searching a company's users, one page at a time, newest first."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Row, select, tuple_

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.directory.users import User, user_of
from gatepass.registry.input.text import folded, search_text, storable
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Cursor, Page, read_cursor, read_limit
from gatepass.registry.storage.tables import users

# How many rows one query reads while searching for a name.
_STRIDE = 1_000


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
) -> Page[User]:
    """A page of the company's users, newest first, with their number if one page holds them all.

    Args:
        q: part of the name or e-mail address, ignoring case and surrounding spaces.
        status: ``active`` or ``deactivated``.

    Raises:
        Forbidden: without ``users:get``.
        InvalidInput: for ``status``, ``cursor`` or ``limit``.
    """
    actor.require("users:get")
    after, limit = read_cursor(cursor), read_limit(limit)
    wanted = rows.of_company(actor, users)
    if status == "active":
        wanted.append(users.c.deactivated_at.is_(None))
    elif status == "deactivated":
        wanted.append(users.c.deactivated_at.is_not(None))
    elif status is not None:
        raise InvalidInput([("status", "Must be active or deactivated.")])
    q = search_text(q)
    if not storable(q):
        return Page([], None, 0)
    found: list[Row[Any]] = []
    for row in _newest(reading, wanted, after, _STRIDE if q else limit + 1):
        if q and not _named(row, folded(q)):
            continue
        found.append(row)
        if len(found) > limit:
            break
    page, more = found[:limit], None
    if len(found) > limit:
        more = str(Cursor(page[-1].created_at, page[-1].id))
    whole = after is None and more is None
    return Page([user_of(row) for row in page], more, len(page) if whole else None)


def _newest(
    reading: Reading, wanted: list[Any], after: Cursor | None, stride: int
) -> Iterator[Row[Any]]:
    key = tuple_(users.c.created_at, users.c.id)
    while True:
        rest = [] if after is None else [key < tuple_(after.number, after.id)]
        found = reading.session.execute(
            select(users)
            .where(*wanted, *rest)
            .order_by(users.c.created_at.desc(), users.c.id.desc())
            .limit(stride)
        ).all()
        yield from found
        if len(found) < stride:
            return
        after = Cursor(found[-1].created_at, found[-1].id)


def _named(row: Row[Any], part: str) -> bool:
    # Not in SQL, because SQLite folds the case of ASCII only. An internationalized domain matches
    # in both spellings: as displayed, and by its A-labels.
    return any(part in text for text in (folded(row.name), folded(row.email), row.email_folded))
