"""Search of access tokens, fast with a hundred thousand of them on both engines."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Text, and_, false, func, literal, or_, select, type_coerce

from gatepass.core.credentials import ACCESS_TOKEN, ID_LENGTH
from gatepass.core.errors import InvalidInput
from gatepass.core.permissions import is_permission, is_wildcard, resource_wildcard
from gatepass.registry.actor import Actor
from gatepass.registry.input.text import folded, search_text, storable
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import COUNT_LIMIT, Page, contains, newest_first
from gatepass.registry.storage.rows import of_company
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.input import KINDS
from gatepass.registry.tokens.records import STORED, AccessToken, tokens_of

_PREFIX = f"{ACCESS_TOKEN}_"


def list_(
    reading: Reading,
    actor: Actor,
    *,
    q: str | None = None,
    status: str | None = None,
    permission: str | None = None,
    kind: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[AccessToken]:
    """The company's tokens, newest first, and how many match; the command line sees all companies.

    Args:
        q: part of the label, in any case, or the beginning of the id, with or without ``gpat_``;
            surrounding space is ignored.
        status: ``active``, ``expired`` or ``deactivated``, at ``reading.now``.
        permission: only tokens with this permission, by name or within ``resource:*``.
        kind: ``api`` or ``ui``.

    Raises:
        Forbidden: without ``access-tokens:search``.
        InvalidInput: for ``status``, ``permission``, ``kind``, ``cursor`` or ``limit``.
    """
    actor.require("access-tokens:search")
    table = access_tokens.c
    wanted = _filters(reading, status, permission, kind)
    wanted += of_company(actor, access_tokens)
    q = search_text(q)
    if q:
        wanted.append(_named(reading, q) if storable(q) else false())
    # The index alone finds the ids; only the rows of the page are read from the table.
    ids = select(table.created_at, table.id).where(*wanted)
    found, more = newest_first(reading, ids, access_tokens, limit=limit, cursor=cursor)
    rows = reading.session.execute(
        STORED.where(table.id.in_([row.id for row in found])).order_by(
            table.created_at.desc(), table.id.desc()
        )
    ).all()
    complete = cursor is None and more is None
    count = len(rows) if complete else _count(reading, wanted)
    return Page(tokens_of(reading, list(rows)), more, count)


def _count(reading: Reading, wanted: Sequence[ColumnElement[bool]]) -> int:
    matching = select(literal(1)).select_from(access_tokens).where(*wanted).limit(COUNT_LIMIT)
    return reading.session.execute(
        select(func.count()).select_from(matching.subquery())
    ).scalar_one()


def _filters(
    reading: Reading, status: str | None, permission: str | None, kind: str | None
) -> list[ColumnElement[bool]]:
    now = reading.now
    table = access_tokens.c
    wanted: list[ColumnElement[bool]] = []
    if status is not None:
        expired = and_(table.expires_at.is_not(None), table.expires_at <= now)
        by_status = {
            "active": and_(
                table.deactivated_at.is_(None),
                or_(table.expires_at.is_(None), table.expires_at > now),
            ),
            "expired": and_(table.deactivated_at.is_(None), expired),
            "deactivated": table.deactivated_at.is_not(None),
        }
        if status not in by_status:
            raise InvalidInput([("status", "Must be active, expired or deactivated.")])
        wanted.append(by_status[status])
    if permission is not None:
        if not (is_permission(permission) or is_wildcard(permission)):
            raise InvalidInput([("permission", "Must be a permission such as charges:create.")])
        # The JSON list holds names without quotes in them, so a quoted name matches as a whole.
        stored = type_coerce(table.permissions, Text)
        names = {permission, resource_wildcard(permission)}
        wanted.append(or_(*(contains(reading, stored, f'"{name}"') for name in sorted(names))))
    if kind is not None:
        if kind not in KINDS:
            raise InvalidInput([("kind", "Must be api or ui.")])
        wanted.append(table.kind == kind)
    return wanted


def _named(reading: Reading, q: str) -> ColumnElement[bool]:
    by_label = contains(reading, access_tokens.c.label_folded, folded(q))
    start = id_start(q)
    if start is None:
        return by_label
    return or_(by_label, func.substr(access_tokens.c.id, 1, len(start)) == start)


def id_start(q: str) -> str | None:
    """*q* as the beginning of a token id, with or without ``gpat_``; None if it can't be one.

    Ids aren't searched in the middle: every id contains "pat". A pasted token text matches by its
    id; its secret isn't read. A pasted id may end in the ellipsis of a list.
    """
    text = q.strip().rstrip("\u2026")
    whole = text if text.startswith(_PREFIX) else f"{_PREFIX}{text}"
    rest = whole.removeprefix(_PREFIX)
    if not rest.isascii() or not (rest.isalnum() or text == _PREFIX):
        return None
    # Longer than an id, it can only be a token's text.
    fits = len(whole) <= ID_LENGTH or text.startswith(_PREFIX)
    return whole[:ID_LENGTH] if fits else None
