"""/search: what the visitor's search finds, on a page and in the palette (palette.js)."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gatepass.core import credentials
from gatepass.registry.input.text import search_text
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.lists import address_of_page
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.search.finding import find

PATH = "/search"

router = page_router()


@router.get(PATH)
def show(screen: CurrentScreen, q: Annotated[str, Query()] = "") -> Response:
    """What *q* finds."""
    wanted = search_text(q)
    pasted = credentials.parse(wanted)
    if pasted is not None:
        # A whole text has its secret, which must not stay in the address.
        return see_other(address_of_page(PATH, {"q": pasted.id}))
    with screen.read() as reading:
        groups = find(reading, screen, wanted)
    return screen.render("search.html", q=wanted, groups=groups)
