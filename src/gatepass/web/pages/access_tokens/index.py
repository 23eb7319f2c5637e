"""/access-tokens: the list, with search, filters and pages."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from gatepass.core.display_text import marked
from gatepass.core.errors import InvalidInput
from gatepass.registry.input.text import search_text
from gatepass.registry.storage.paging import COUNT_LIMIT, Page
from gatepass.registry.tokens import search as token_search
from gatepass.registry.tokens import usage
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting
from gatepass.web.pages.text.wording import counted
from gatepass.web.pages.widgets.sparkline import days_until

PATH = "/access-tokens"
_STATUSES = ("active", "expired", "deactivated")
_KINDS = ("api", "ui")
#: Past this many a hint says that searching is quicker than paging.
_MANY = 500
_DAYS = 7

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to. A word that isn't known means the default."""

    q: str
    status: str
    kind: str

    @property
    def narrowed(self) -> bool:
        """Whether anything but the list's first look was chosen."""
        return bool(self.q) or self.status != "active" or self.kind != "any"

    def address(self, cursor: str | None = None) -> str:
        """Where these filters show their first page, or the one that *cursor* begins."""
        query = {"q": self.q, "status": self.status, "kind": self.kind, "cursor": cursor or ""}
        return f"{PATH}?{urlencode({name: value for name, value in query.items() if value})}"


@router.get(PATH)
def show_list(
    visitor: Visiting,
    node: CurrentNode,
    q: Annotated[str, Query()] = "",
    status: Annotated[str, Query()] = "active",
    kind: Annotated[str, Query()] = "any",
    cursor: Annotated[str, Query()] = "",
) -> Response:
    """The company's tokens, newest first."""
    now = node.clock.now()
    filters = Filters(
        search_text(q),
        status if status in _STATUSES else "any" if status == "any" else "active",
        kind if kind in _KINDS else "any",
    )
    problem = ""
    nothing_at_all = False
    with node.database.read(now) as reading:

        def page_of(status: str, cursor: str, limit: int | None = None) -> Page[AccessToken]:
            return token_search.list_(
                reading,
                visitor.actor,
                q=filters.q or None,
                status=None if status == "any" else status,
                kind=None if filters.kind == "any" else filters.kind,
                limit=limit,
                cursor=cursor or None,
            )

        try:
            page = page_of(filters.status, cursor)
            if not page.items and not filters.narrowed:
                nothing_at_all = not page_of("any", "", 1).items
        except InvalidInput:
            page = Page([], None, 0)
            problem = "This page of the list no longer exists." if cursor else ""
        used = [token.id for token in page.items if token.last_used]
        use = usage.daily(reading, used, days=_DAYS) if used else {}
    return render(
        "access_tokens/list.html",
        422 if problem else 200,
        visitor=visitor,
        now=now,
        filters=filters,
        tokens=page.items,
        use={id: days_until(now, counts) for id, counts in use.items() if any(counts)},
        filtered=not nothing_at_all,
        no_match=_no_match(filters),
        count_in_words=_count(page.count),
        too_many=(page.count or 0) > _MANY,
        next_url=filters.address(page.next) if page.next else None,
        newest_url=filters.address() if cursor else None,
        problem=problem,
    )


def _count(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count:,} or more tokens" if count >= COUNT_LIMIT else counted(count, "token")


def _no_match(filters: Filters) -> str:
    kind = {"api": "API ", "ui": "UI "}.get(filters.kind, "")
    status = "" if filters.status == "any" else f"{filters.status} "
    if filters.q:
        return f"No {status}{kind}token has “{marked(filters.q, filters.q)}” in its label or id."
    return f"There are no {status}{kind}tokens."
