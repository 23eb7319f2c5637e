"""/company/users: the company's users."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gatepass.registry.directory import role_records, user_search
from gatepass.registry.directory.users import User
from gatepass.registry.input.text import search_text
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.layout.visitor import Visitor
from gatepass.web.pages.people.changeable import changeable
from gatepass.web.pages.people.tabs import people_tabs

_DONE = {
    "role": "Role changed. It applies from their next request.",
    "second-factor": "Second factor turned off, and all their sign-ins ended.",
    "email": "The address changes when the link in the e-mail to the new address is used.",
    "email-stays": "Change cancelled. The e-mail address stays the same.",
    "deactivated": "Account deactivated. Its sign-ins and access tokens are refused from now on.",
}

router = page_router()


@dataclass(frozen=True)
class Filters:
    """The list's filters. An unknown value means the default."""

    q: str
    status: str

    def address(self, cursor: str = "") -> str:
        """The address of the page at *cursor*, or of the first page."""
        query = {"q": self.q, "status": self.status, "cursor": cursor}
        return address_of_page(USERS.path, query)


@router.get(USERS.path)
def show_list(
    screen: CurrentScreen,
    q: Annotated[str, Query()] = "",
    status: Annotated[str, Query()] = "any",
    cursor: Annotated[str, Query()] = "",
    done: Annotated[str, Query()] = "",
) -> Response:
    """The company's users, newest first."""
    filters = Filters(search_text(q), status if status in ("active", "deactivated") else "any")
    with screen.read() as reading:
        known = role_records.of_company(reading, screen.node.catalogue, screen.company)
        tabs = people_tabs(reading, screen)
        page = list_page(
            lambda: user_search.list_(
                reading,
                screen.actor,
                q=filters.q or None,
                status=None if filters.status == "any" else filters.status,
                cursor=cursor or None,
            ),
            filters.address,
            cursor,
        )
    return screen.render(
        "company/users.html",
        page.status,
        filters=filters,
        page=page,
        roles=known,
        guarded=_guarded(screen.visitor, page.items),
        changeable=changeable(screen, page.items, known),
        tabs=tabs,
        flash=_DONE.get(done, ""),
    )


def _guarded(visitor: Visitor, users: list[User]) -> bool:
    """Whether the page lists an operator, which only operators can change."""
    mine = visitor.may_change("users:manage") and not visitor.actor.operator
    return mine and any(user.operator and user.status == "active" for user in users)
