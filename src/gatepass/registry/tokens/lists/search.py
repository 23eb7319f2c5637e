"""Search of access tokens, as fast with a million of them as with a thousand, on both engines."""

from typing import Unpack

from gatepass.registry.actor import Actor
from gatepass.registry.directory.company_scope import scope
from gatepass.registry.storage import scans
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Page, read_limit
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens.lists import sorting
from gatepass.registry.tokens.lists.selection import STATUSES, Filters, Selection
from gatepass.registry.tokens.records import STORED, AccessToken, tokens_of


def list_(
    reading: Reading,
    actor: Actor,
    *,
    company: str | None = None,
    sort: str = "created_at",
    order: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    counted: bool = True,
    **filters: Unpack[Filters],
) -> Page[AccessToken]:
    """A company's tokens, newest first by default; the command line sees all companies'.

    A portal session sees its owner's, and needs no permission.

    Args:
        company: for operators, and admin keys with ``tokens``: its id, or ``ext:`` and its external
            id. None is the actor's.
        sort, order: one of ``sorting.SORTS``, and ``asc`` or ``desc``; None is ``desc`` by
            ``created_at``, else ``asc``. A token that never expires or was never used comes last.
        counted: whether to count all that match.
        filters: see ``Filters``.

    Raises:
        Forbidden: without ``access-tokens:search``; for *company*, as ``scope`` says.
        NotFound: there is no such company, or the admin key is limited to another one.
        InvalidInput: for a filter, ``sort``, ``order``, ``cursor`` or ``limit``; a cursor belongs
            to its order.
    """
    its = scope(
        reading, actor, company, permission="access-tokens:search", area="tokens", portal=True
    )
    in_order = sorting.read_order(sort, order)
    after, limit = in_order.read_cursor(cursor), read_limit(limit)
    wanted = Selection.of(reading, actor, its, filters)
    with scans.by_index(reading):
        ids, more = sorting.page(wanted, in_order, after, limit)
        whole = after is None and more is None
        number = len(ids) if whole else wanted.count() if counted else None
    found = reading.session.execute(STORED.where(access_tokens.c.id.in_(ids)))
    rows = {row.id: row for row in found}
    return Page(tokens_of(reading, [rows[id] for id in ids]), more, number)


def ids(reading: Reading, actor: Actor, filters: Filters, *, most: int) -> list[str]:
    """The ids of the tokens of the actor's company that match, newest first; at most *most*.

    Performs no permission check.

    Raises:
        InvalidInput: for a filter.
    """
    wanted = Selection.of(reading, actor, actor.company, filters)
    with scans.by_index(reading):
        return scans.page(reading, wanted.scans, None, most)[0]


def count(reading: Reading, actor: Actor, filters: Filters) -> int:
    """How many tokens of the actor's company match, as ``Page.count`` has it.

    Raises:
        Forbidden: without ``access-tokens:search``.
        InvalidInput: for a filter.
    """
    actor.require("access-tokens:search")
    with scans.by_index(reading):
        return Selection.of(reading, actor, actor.company, filters).count()


def by_status(reading: Reading, company: str) -> dict[str, int]:
    """The number of a company's tokens of each status, as ``Page.count`` has it."""
    with scans.by_index(reading):
        return {status: Selection(reading, company, status=status).count() for status in STATUSES}
