"""/access-tokens: the list, with search, filters and pages."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gatepass.core.display_text import marked
from gatepass.registry.input.text import search_text
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Page
from gatepass.registry.tokens import search as token_search
from gatepass.registry.tokens import token_owners, usage
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.widgets.sparkline import days_until

PATH = "/access-tokens"
_STATUSES = ("active", "expired", "deactivated", "any")
_KINDS = ("api", "ui")
#: With more tokens than these, a hint recommends the search.
_MANY = 500
_DAYS = 7

router = page_router()


@dataclass(frozen=True)
class Filters:
    """The list's filters. An unknown value means the default."""

    q: str
    status: str
    kind: str
    owner: str = ""

    @property
    def narrowed(self) -> bool:
        """Whether any filter differs from its default."""
        return bool(self.q or self.owner) or self.status != "active" or self.kind != "any"

    def address(self, cursor: str = "") -> str:
        """The address of the page at *cursor*, or of the first page."""
        return address_of_page(PATH, self._query | {"cursor": cursor})

    @property
    def of_all_owners(self) -> str:
        """The address of the first page without the filter by owner."""
        return address_of_page(PATH, self._query | {"owner": ""})

    @property
    def _query(self) -> dict[str, str]:
        return {"q": self.q, "status": self.status, "kind": self.kind, "owner": self.owner}


@router.get(PATH)
def show_list(
    screen: CurrentScreen,
    q: Annotated[str, Query()] = "",
    status: Annotated[str, Query()] = "active",
    kind: Annotated[str, Query()] = "any",
    owner: Annotated[str, Query()] = "",
    cursor: Annotated[str, Query()] = "",
) -> Response:
    """The company's tokens, newest first."""
    filters = Filters(
        search_text(q),
        status if status in _STATUSES else "active",
        kind if kind in _KINDS else "any",
        owner,
    )
    with screen.read() as reading:
        fetch = partial(_tokens, reading, screen, filters, cursor)
        page = list_page(fetch, filters.address, cursor)
        owner_name = token_owners.name_of(reading, screen.actor, owner) if owner else None
        empty = not (filters.narrowed or page.items or page.problem or _exist(reading, screen))
        used = [token.id for token in page.items if token.last_used]
        use = usage.daily(reading, used, days=_DAYS) if used else {}
    now = screen.now()
    return screen.render(
        "access_tokens/list.html",
        page.status,
        filters=filters,
        page=page,
        use={id: days_until(now, counts) for id, counts in use.items() if any(counts)},
        filtered=not empty,
        no_match=_no_match(filters),
        owner_name=owner_name,
        too_many=(page.count or 0) > _MANY,
    )


def _tokens(
    reading: Reading, screen: Screen, filters: Filters, cursor: str = "", limit: int | None = None
) -> Page[AccessToken]:
    return token_search.list_(
        reading,
        screen.actor,
        q=filters.q or None,
        status=None if filters.status == "any" else filters.status,
        kind=None if filters.kind == "any" else filters.kind,
        owner=filters.owner or None,
        limit=limit,
        cursor=cursor or None,
    )


def _exist(reading: Reading, screen: Screen) -> bool:
    """Whether the company has any token at all."""
    return bool(_tokens(reading, screen, Filters("", "any", "any"), limit=1).items)


def _no_match(filters: Filters) -> str:
    kind = {"api": "API ", "ui": "UI "}.get(filters.kind, "")
    status = "" if filters.status == "any" else f"{filters.status} "
    if filters.q:
        return f"No {status}{kind}token has “{marked(filters.q, filters.q)}” in its label or id."
    return f"There are no {status}{kind}tokens."
