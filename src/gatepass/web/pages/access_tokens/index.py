"""/access-tokens: the list, with search, filters and pages."""

from functools import partial

from fastapi import Request
from starlette.responses import Response

from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Page
from gatepass.registry.tokens import search as token_search
from gatepass.registry.tokens import token_owners, usage
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.bulk import deactivated_sentence
from gatepass.web.pages.access_tokens.filters import PATH, Filters
from gatepass.web.pages.layout.lists import list_page
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.widgets.sparkline import days_until

#: With more tokens than these, a hint recommends the search.
_MANY = 500
_DAYS = 7

router = page_router()


@router.get(PATH)
def show_list(request: Request, screen: CurrentScreen, cursor: str = "") -> Response:
    """The company's tokens, newest first."""
    filters = Filters.read(request.query_params)
    with screen.read() as reading:
        fetch = partial(_tokens, reading, screen, filters, cursor)
        page = list_page(fetch, filters.address, cursor)
        owner = filters.owner
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
        no_match=filters.no_match,
        owner_name=owner_name,
        too_many=(page.count or 0) > _MANY,
        flash=deactivated_sentence(request.query_params.get("deactivated", "")),
    )


def _tokens(
    reading: Reading, screen: Screen, filters: Filters, cursor: str = "", limit: int | None = None
) -> Page[AccessToken]:
    return token_search.list_(
        reading, screen.actor, limit=limit, cursor=cursor or None, **filters.search()
    )


def _exist(reading: Reading, screen: Screen) -> bool:
    """Whether the company has any token at all."""
    return bool(_tokens(reading, screen, Filters(status="any"), limit=1).items)
