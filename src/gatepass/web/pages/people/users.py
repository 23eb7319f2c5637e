"""/company/users: the people of the company."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from gatepass.core.errors import InvalidInput
from gatepass.registry.directory import role_records, user_search
from gatepass.registry.directory.users import User
from gatepass.registry.input.text import search_text
from gatepass.registry.storage.paging import Page
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.company.roles import may_hold
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import USERS
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.people.invitations import section
from gatepass.web.pages.text.wording import counted

PATH = USERS.path
#: The newest of them stand under the people; all of them have a page of their own.
_INVITATIONS = 10
_DONE = {
    "role": "Role changed. It applies from their next request.",
    "second-factor": "Second factor turned off, and all their sign-ins ended.",
    "email": "The address changes when the link in the mail to the new address is used.",
    "email-stays": "Change cancelled. The e-mail address stays the same.",
    "deactivated": "Account deactivated. Its sign-ins and access tokens are refused from now on.",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to. A word that isn't known means the default."""

    q: str
    status: str

    @property
    def narrowed(self) -> bool:
        """Whether anything but the list's first look was chosen."""
        return bool(self.q) or self.status != "any"

    def address(self, cursor: str | None = None) -> str:
        """Where these filters show their first page, or the one that *cursor* begins."""
        query = {"q": self.q, "status": self.status, "cursor": cursor or ""}
        return f"{PATH}?{urlencode({name: value for name, value in query.items() if value})}"


@router.get(PATH)
def show_list(
    visitor: Visiting,
    node: CurrentNode,
    q: Annotated[str, Query()] = "",
    status: Annotated[str, Query()] = "any",
    cursor: Annotated[str, Query()] = "",
    done: Annotated[str, Query()] = "",
) -> Response:
    """The company's people, newest first."""
    now = node.clock.now()
    filters = Filters(search_text(q), status if status in ("active", "deactivated") else "any")
    problem = ""
    invited = None
    with node.database.read(now) as reading:
        known = role_records.of_company(reading, node.catalogue, visitor.actor.company or "")
        if not cursor:
            invited = section(reading, node, visitor, limit=_INVITATIONS)
        try:
            page = user_search.list_(
                reading,
                visitor.actor,
                q=filters.q or None,
                status=None if filters.status == "any" else filters.status,
                cursor=cursor or None,
            )
        except InvalidInput:
            page = Page([], None, 0)
            problem = "This page of the list no longer exists." if cursor else ""
    return render(
        "company/users.html",
        422 if problem else 200,
        visitor=visitor,
        now=now,
        filters=filters,
        users=page.items,
        roles=known,
        guarded=_guarded(visitor, page),
        above=[role.id for role in known.values() if not may_hold(node, visitor, role)],
        count_in_words="" if page.count is None else counted(page.count, "user"),
        next_url=filters.address(page.next) if page.next else None,
        newest_url=filters.address() if cursor else None,
        problem=problem,
        invited=invited,
        flash=_DONE.get(done, ""),
    )


def _guarded(visitor: Visitor, page: Page[User]) -> bool:
    """Whether somebody on the page can't be changed for being an operator."""
    mine = visitor.may_change("users:manage") and not visitor.actor.operator
    return mine and any(user.operator and user.status == "active" for user in page.items)
