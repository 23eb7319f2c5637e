"""The list of access tokens as a file, for ``/v1/access-tokens/export`` and the dashboard.

Each page is read in a transaction of its own, so a slow client keeps none open.
"""

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Annotated

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from gatepass.node.node import Node
from gatepass.registry.actor import Actor, Person
from gatepass.registry.grants.authorization import reauthorize
from gatepass.registry.storage.paging import LARGEST_PAGE, Page
from gatepass.registry.tokens import records
from gatepass.registry.tokens.lists import search
from gatepass.registry.tokens.lists.selection import Filters
from gatepass.web.api.list_files import CONTENT, FileFormat, ListFile
from gatepass.web.api.records.access_tokens import AccessToken
from gatepass.web.api.request_body import resource
from gatepass.web.api.tokens.access_tokens import SortedBy, TokenFilters, TokenOrder
from gatepass.web.caller import Authenticated, CurrentNode
from gatepass.web.times import format_time

router = resource("Access tokens")


@router.get(
    "/access-tokens/export",
    operation_id="access_tokens_export",
    summary="The company's access tokens as a file",
    response_class=StreamingResponse,
    responses={200: {"content": CONTENT}},
)
def export(
    node: CurrentNode,
    actor: Authenticated,
    format: Annotated[FileFormat, Query(description="CSV for spreadsheets, or JSON Lines.")],
    order: TokenOrder,
    filters: TokenFilters,
) -> Response:
    """Needs `access-tokens:search`. Each token as it is when its line is written. In CSV, a cell
    that a spreadsheet would take for a formula starts with an apostrophe."""
    return exported(node, actor, format, filters, order)


def exported(
    node: Node, actor: Actor, format: FileFormat, filters: Filters, order: SortedBy
) -> Response:
    """The tokens as a file to download.

    Raises:
        Forbidden: without ``access-tokens:search``.
        InvalidInput: for a filter.
    """

    def page_after(cursor: str | None) -> Page[records.AccessToken]:
        with node.database.read(node.clock.now()) as reading:
            # Authorized again for each page: an actor who loses the permission gets no more.
            reader = reauthorize(reading, actor)
            return search.list_(
                reading,
                reader,
                limit=LARGEST_PAGE,
                cursor=cursor,
                counted=False,
                **order,
                **filters,
            )

    # Read before the answer begins, so that a refusal is one.
    first = page_after(None)
    pages = chain([first.items], _pages(page_after, first.next))
    return _FILE.response(pages, format, node.clock.now())


def _pages(
    page_after: Callable[[str | None], Page[records.AccessToken]], cursor: str | None
) -> Iterator[list[records.AccessToken]]:
    while cursor is not None:
        page = page_after(cursor)
        yield page.items
        cursor = page.next


def _time(at: int | None) -> str | None:
    return None if at is None else format_time(at)


def _name(person: Person | None) -> str | None:
    return None if person is None else person.name


_FILE: ListFile[records.AccessToken] = ListFile(
    "access-tokens",
    {
        "id": lambda token: token.id,
        "label": lambda token: token.label,
        "kind": lambda token: token.kind,
        "imported": lambda token: "true" if token.imported else "false",
        "status": lambda token: token.status,
        "owner_type": lambda token: token.owner.type,
        "owner_id": lambda token: token.owner.id,
        "owner_external_id": lambda token: token.owner.external_id,
        "owner_name": lambda token: token.owner.name,
        "permissions": lambda token: " ".join(token.permissions),
        "effective_permissions": lambda token: " ".join(token.effective_permissions),
        "networks": lambda token: " ".join(token.networks),
        "domains": lambda token: " ".join(token.domains),
        "created_at": lambda token: format_time(token.created_at),
        "created_by": lambda token: token.created_by.id,
        "created_by_name": lambda token: token.created_by.name,
        "expires_at": lambda token: _time(token.expires_at),
        "last_used_at": lambda token: _time(token.last_used.at if token.last_used else None),
        "last_used_address": lambda token: token.last_used.address if token.last_used else None,
        "external_id": lambda token: token.external_id,
        "unused_days": lambda token: str(token.unused_days or ""),
        "metadata": lambda token: json.dumps(token.metadata, ensure_ascii=False),
        "deactivated_at": lambda token: _time(token.deactivated_at),
        "deactivated_by_name": lambda token: (
            token.deactivated_by.name if token.deactivated_by else None
        ),
    },
    AccessToken.model_validate,
)
