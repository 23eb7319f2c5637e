"""/authentications: every sign-in, and the end of any of them."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from gatepass.core.errors import InvalidInput
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import users
from gatepass.registry.storage.paging import Page
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting
from gatepass.web.pages.text.browsers import browser
from gatepass.web.pages.text.forms import Form

PATH = navigation.AUTHENTICATIONS.path
_DONE = {
    "deactivated": "Sign-in deactivated. Its next request is refused.",
    "others": "All other sign-ins are deactivated.",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get(PATH)
def show_list(
    visitor: Visiting,
    node: CurrentNode,
    user: Annotated[str, Query()] = "",
    cursor: Annotated[str, Query()] = "",
    done: str = "",
) -> Response:
    """One's own sign-ins; with ``users:manage`` also everyone's (``user=all``) or one person's."""
    now = node.clock.now()
    problem = ""
    with node.database.read(now) as reading:
        try:
            page = sessions.list_(reading, visitor.actor, user=user or None, cursor=cursor or None)
        except InvalidInput:
            page = Page([], None)
            problem = "This page of the list no longer exists."
        operators = frozenset[str]()
        if user and not visitor.actor.operator:
            operators = users.operators(reading, visitor.actor.company or "")
        others = sessions.other_active(reading, visitor.actor)
        # Permission to list a user's sign-ins includes seeing the user's name.
        whose = users.get(reading, user) if user not in ("", "all") else None
    return render(
        "authentications/list.html",
        422 if problem else 200,
        visitor=visitor,
        now=now,
        authentications=page.items,
        browser=browser,
        user=user,
        whose=whose,
        others=others,
        operators=operators,
        may_see_all=visitor.actor.may("users:manage"),
        flash=_DONE.get(done, ""),
        problem=problem,
        next_url=address(user, page.next) if page.next else None,
        newest_url=address(user) if cursor else None,
    )


@router.get(PATH + "/deactivate-others")
def ask(visitor: Visiting, node: CurrentNode) -> Response:
    """What it means, as a page of its own."""
    now = node.clock.now()
    with node.database.read(now) as reading:
        others = sessions.other_active(reading, visitor.actor)
    return render("authentications/others.html", visitor=visitor, now=now, others=others)


@router.post(PATH + "/deactivate-others")
def deactivate_others(visitor: Visiting, node: CurrentNode) -> Response:
    """End all of one's own but the one in use."""
    with node.database.write(node.clock.now()) as change:
        sessions.deactivate_others(change, visitor.actor)
    return see_other(address("", done="others"), confirmed=change.confirmed)


@router.post(PATH + "/{id}/deactivate")
def deactivate(visitor: Visiting, node: CurrentNode, id: str, fields: Form) -> Response:
    """End one of them, and show the list it was in."""
    user = fields.one("user")
    with node.database.write(node.clock.now()) as change:
        sessions.deactivate(change, visitor.actor, id)
    return see_other(address(user, done="deactivated"), confirmed=change.confirmed)


def address(user: str, cursor: str | None = None, *, done: str = "") -> str:
    """Where this list shows its first page, or the one that *cursor* begins."""
    query = {"user": user, "cursor": cursor or "", "done": done}
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{PATH}?{said}" if said else PATH
