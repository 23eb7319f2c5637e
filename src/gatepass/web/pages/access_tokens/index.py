"""/access-tokens: the list, with search, filters and pages."""

from dataclasses import dataclass
from functools import partial

from fastapi import Request
from starlette.responses import Response

from gatepass.core.display_text import isolated
from gatepass.core.grants import SERVICE_ACCOUNT
from gatepass.registry.actor import Actor
from gatepass.registry.directory import owner_search, user_search
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import Page
from gatepass.registry.tokens import token_owners
from gatepass.registry.tokens.calls import usage
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.lists.selection import Filters as TokenFilters
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.temporary import request_records
from gatepass.web.api.list_files import FileFormat
from gatepass.web.api.tokens.access_token_export import exported
from gatepass.web.pages.access_tokens.bulk import deactivated_sentence
from gatepass.web.pages.access_tokens.filters import PATH, SHOWN, SORTS, Filters
from gatepass.web.pages.access_tokens.first_steps import PART, part, steps_above_list
from gatepass.web.pages.access_tokens.marks import marks_of
from gatepass.web.pages.layout.headers import security_headers
from gatepass.web.pages.layout.lists import list_page
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.widgets.sparkline import days_until

#: With more tokens than these, a hint recommends the search.
_MANY = 500
_DAYS = 7
#: The most users, and service accounts, that are offered to filter by.
_PEOPLE = 100

router = page_router()


@router.get(PATH)
def show_list(request: Request, screen: CurrentScreen, cursor: str = "") -> Response:
    """The company's tokens, newest first; with ``part=first-steps`` only a new company's steps."""
    if request.query_params.get("part") == PART:
        return part(screen)
    filters = Filters.read(request.query_params)
    with screen.read() as reading:
        fetch = partial(_tokens, reading, screen, filters, cursor)
        page = list_page(fetch, filters.address, cursor)
        whole = not (filters.narrowed or cursor)
        first_steps = steps_above_list(request, reading, screen) if whole else None
        people = _people(reading, screen, filters)
        owner = filters.owner
        owner_name = token_owners.name_of(reading, screen.actor, owner) if owner else None
        empty = not (filters.narrowed or page.items or page.problem or _exist(reading, screen))
        shown = {} if empty else _shown(reading, screen)
        waiting = TokenFilters(status="pending")
        pending = 0 if empty else token_search.count(reading, screen.actor, waiting)
        asked = request_records.number_pending(reading, screen.actor, screen.node.catalogue)
        ids = [token.id for token in page.items]
        allowed = usage.daily(reading, ids, days=_DAYS)
        refused = usage.daily_refused(reading, ids, days=_DAYS)
    now = screen.now()
    return screen.render(
        "access_tokens/list.html",
        page.status,
        filters=filters,
        page=page,
        use={id: days_until(now, counts) for id, counts in allowed.items() if any(counts)},
        marks={
            each.id: marks_of(each, allowed[each.id], refused[each.id], now) for each in page.items
        },
        filtered=not empty,
        no_match=filters.no_match,
        people=people,
        owner_name=owner_name,
        permission_choices=[(name, name) for name in _permissions(screen, filters)],
        shown=shown,
        pending=pending,
        asked=asked,
        shown_titles=SHOWN,
        sort_choices=[(sort, title) for sort, (_, _, title) in SORTS.items()],
        too_many=(page.count or 0) > _MANY,
        first_steps=first_steps,
        flash=deactivated_sentence(request.query_params.get("deactivated", "")),
    )


@router.get(f"{PATH}/export")
def export(request: Request, screen: CurrentScreen, format: FileFormat) -> Response:
    """The same tokens as a file."""
    filters = Filters.read(request.query_params)
    sort, order, _ = SORTS[filters.sort]
    found = filters.search(screen.now())
    return security_headers(
        exported(screen.node, screen.actor, format, found, {"sort": sort, "order": order})
    )


def _tokens(
    reading: Reading, screen: Screen, filters: Filters, cursor: str = "", limit: int | None = None
) -> Page[AccessToken]:
    sort, order, _ = SORTS[filters.sort]
    return token_search.list_(
        reading,
        screen.actor,
        sort=sort,
        order=order,
        limit=limit,
        cursor=cursor or None,
        **filters.search(screen.now()),
    )


def _exist(reading: Reading, screen: Screen) -> bool:
    """Whether the company has any token at all."""
    return bool(_tokens(reading, screen, Filters(status="any"), limit=1).items)


def _permissions(screen: Screen, filters: Filters) -> list[str]:
    """The permissions to filter by: those of the catalogue, and the chosen one."""
    known = sorted(screen.node.catalogue.names)
    chosen = filters.permission
    return known if not chosen or chosen in known else [*known, chosen]


def _shown(reading: Reading, screen: Screen) -> dict[str, int]:
    """How many tokens there are to look at, by the value of ``show``."""
    now = screen.now()
    return {
        show: token_search.count(reading, screen.actor, Filters(show=show).search(now))
        for show in SHOWN
    }


@dataclass(frozen=True)
class People:
    """Owners and makers to filter by: names by id."""

    owners: dict[str, str]
    makers: dict[str, str]


def _people(reading: Reading, screen: Screen, filters: Filters) -> People:
    """The visitor, those that they may list (the newest of many), and the chosen ones."""
    actor = screen.actor
    users, accounts = {actor.user or "": f"You, {isolated(screen.visitor.name)}"}, {}
    if actor.may("users:get"):
        listed = user_search.list_(reading, actor, status="active", limit=_PEOPLE, counted=False)
        users |= {user.id: isolated(user.name) for user in listed.items if user.id not in users}
    if actor.may("service-accounts:manage"):
        found = owner_search.list_(
            reading,
            actor,
            type=SERVICE_ACCOUNT,
            status="active",
            limit=_PEOPLE,
            counted=False,
        )
        accounts = {account.id: isolated(account.name) for account in found.items}
    return People(
        _with_chosen(reading, actor, users | accounts, filters.owner),
        _with_chosen(reading, actor, users, filters.made_by),
    )


def _with_chosen(
    reading: Reading, actor: Actor, people: dict[str, str], chosen: str
) -> dict[str, str]:
    if not chosen or chosen in people:
        return people
    name = token_owners.name_of(reading, actor, chosen)
    return people | {chosen: "Unknown" if name is None else isolated(name)}
