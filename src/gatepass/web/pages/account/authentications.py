"""/authentications: the list of sign-ins, and deactivating them."""

from functools import partial
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gatepass.registry.authentication import sessions
from gatepass.registry.directory import users
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.lists import address_of_page, list_page
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.text.browsers import browser
from gatepass.web.pages.text.forms import Form

PATH = navigation.AUTHENTICATIONS.path
_DONE = {
    "deactivated": "Sign-in deactivated. Its next request is refused.",
    "others": "All other sign-ins are deactivated.",
}

router = page_router()


@router.get(PATH)
def show_list(
    screen: CurrentScreen,
    user: Annotated[str, Query()] = "",
    cursor: Annotated[str, Query()] = "",
    done: str = "",
) -> Response:
    """The visitor's own sign-ins; with ``users:manage``, also everyone's (``user=all``) or one
    user's."""
    with screen.read() as reading:
        page = list_page(
            lambda: sessions.list_(reading, screen.actor, user=user or None, cursor=cursor or None),
            partial(_address, user),
            cursor,
        )
        operators = frozenset[str]()
        if user and not screen.actor.operator:
            operators = users.operators(reading, screen.company)
        others = sessions.other_active(reading, screen.actor)
        # Permission to list a user's sign-ins includes seeing the user's name.
        whose = users.get(reading, user) if user not in ("", "all") else None
    return screen.render(
        "authentications/list.html",
        page.status,
        page=page,
        browser=browser,
        user=user,
        whose=whose,
        others=others,
        operators=operators,
        may_see_all=screen.actor.may("users:manage"),
        flash=_DONE.get(done, ""),
    )


@router.get(PATH + "/deactivate-others")
def ask(screen: CurrentScreen) -> Response:
    """The confirmation page of deactivating all others."""
    with screen.read() as reading:
        others = sessions.other_active(reading, screen.actor)
    return screen.render("authentications/others.html", others=others)


@router.post(PATH + "/deactivate-others")
def deactivate_others(screen: CurrentScreen) -> Response:
    """Deactivate the visitor's sign-ins except the current one."""
    with screen.write() as change:
        sessions.deactivate_others(change, screen.actor)
    return see_other(_address("", done="others"), confirmed=change.confirmed)


@router.post(PATH + "/{id}/deactivate")
def deactivate(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Deactivate one sign-in, and return to the list it was in."""
    with screen.write() as change:
        sessions.deactivate(change, screen.actor, id)
    path = _address(fields.one("user"), done="deactivated")
    return see_other(path, confirmed=change.confirmed)


def _address(user: str, cursor: str = "", *, done: str = "") -> str:
    """The address of the list's page at *cursor*, or of its first page."""
    return address_of_page(PATH, {"user": user, "cursor": cursor, "done": done})
