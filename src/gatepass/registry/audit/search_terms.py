"""Resolves search terms of the audit log: names of users and labels of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select

from gatepass.core.credentials import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    ID_LENGTH,
    LOGIN_TOKEN,
    PORTAL_SESSION,
)
from gatepass.core.errors import InvalidInput
from gatepass.core.imported_keys import IMPORTED_KEY
from gatepass.registry.actor import Actor
from gatepass.registry.input.emails import fold_email
from gatepass.registry.input.text import folded, storable
from gatepass.registry.storage import scans
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import contains
from gatepass.registry.storage.tables import access_tokens, owners, users
from gatepass.registry.storage.word_index import LABELS, OWNER_NAMES, USER_NAMES, WordIndex

#: With more matches the search asks for a longer term: leaving some out would be worse.
MOST = 20

_ACTING = tuple(
    f"{each}_" for each in (ACCESS_TOKEN, IMPORTED_KEY, LOGIN_TOKEN, ADMIN_KEY, PORTAL_SESSION)
)


@dataclass(frozen=True, slots=True)
class Named:
    """A user or token that matches a search term, and its name or label."""

    id: str
    name: str


def token_id(text: str) -> str | None:
    """The id of a credential that acts in a company, if *text* is it or its text; else None."""
    start = text[:ID_LENGTH]
    fits = len(start) == ID_LENGTH and start.isascii() and start[5:].isalnum()
    return start if fits and start[:5] in _ACTING else None


def tokens_called(reading: Reading, actor: Actor, text: str) -> list[Named]:
    """The company's access tokens whose label contains *text*.

    If *text* is an id or a token's text, only the credential with that id. The secret in
    a token's text isn't read.

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``token``; more than ``MOST`` match.
    """
    actor.require("audit:get")
    if not storable(text):
        return []
    own_id = token_id(text)
    table = access_tokens.c
    named = select(table.id, table.label.label("name"), table.created_at)
    if own_id is not None:
        row = reading.session.execute(
            named.where(table.id == own_id, table.company_id == actor.company)
        ).one_or_none()
        return [Named(own_id, own_id if row is None else row.name)]
    rows = _called(reading, actor, LABELS, text, named, table.label_folded)
    return _few("token", rows[::-1])


def people_called(reading: Reading, actor: Actor, text: str) -> list[Named]:
    """The company's users, service accounts and external owners whose name contains *text*.

    If *text* is an id, an e-mail address or an external id, only those: deactivated ones may have
    had the same address or external id.

    Raises:
        Forbidden: without ``audit:get``.
        InvalidInput: for ``person``; more than ``MOST`` match.
    """
    actor.require("audit:get")
    if not storable(text):
        return []
    table = users.c
    named = select(table.id, table.name, table.created_at)
    # Of any company at first: each of the two has an index without the company.
    exactly = (table.id == text) | (table.email_folded == fold_email(text))
    those = reading.session.execute(
        named.add_columns(table.company_id).where(exactly).order_by(table.created_at, table.id)
    ).all()
    own = [row for row in those if row.company_id == actor.company]
    their = owners.c
    named_owners = select(their.id, their.name, their.created_at)
    # Two queries: SQLite would look at all owners of the company for one with OR.
    for is_text in (their.id == text, their.external_id == text):
        own += reading.session.execute(
            named_owners.where(their.company_id == actor.company, is_text).order_by(
                their.created_at, their.id
            )
        )
    if own:
        return _few("person", own)
    return _few(
        "person",
        [
            *_called(reading, actor, USER_NAMES, text, named, table.name_searched),
            *_called(reading, actor, OWNER_NAMES, text, named_owners, their.name_searched),
        ],
    )


def _called(
    reading: Reading,
    actor: Actor,
    index: WordIndex,
    text: str,
    named: Select[Any],
    searched: ColumnElement[str],
) -> list[Row[Any]]:
    """The company's records whose text *searched* contains *text*, oldest first.

    If there are more than ``MOST``, these are some of them.

    Args:
        named: selects all records, of any company.
    """
    assert actor.company is not None
    part = folded(text)
    matches = contains(reading, searched, part)
    with scans.by_index(reading):
        way = index.find(reading, actor.company, part).way(reading, [], matches)
        ids = None if way is None else scans.page(reading, way.scans, None, MOST + 1)[0]
    if ids is None:
        some = named.where(index.records.c.company_id == actor.company, matches).limit(MOST + 1)
    else:
        some = named.where(index.records.c.id.in_(ids))
    return sorted(reading.session.execute(some), key=lambda row: (row.created_at, row.id))


def _few(field: str, rows: Sequence[Row[Any]]) -> list[Named]:
    if len(rows) > MOST:
        message = f"Enter more of the name, or the id: more than {MOST} match."
        raise InvalidInput([(field, message)])
    return [Named(row.id, row.name) for row in rows]
