"""What the pages behind links in mail have in common."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import BrokenLink, Forbidden, GatepassError
from gatepass.web.caller import NotAdmitted, node_of
from gatepass.web.pages.layout.errors import Explained, PageRoute
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import address_text, visiting


class LinkRoute(PageRoute):
    """A route whose address is a secret: it tells nobody where the visitor comes from.

    A browser that tells nobody doesn't tell us either that a form is one of ours. None needs to be:
    whoever has the address has all there is to have, and no cookie counts here.
    """

    own_forms_only = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint, its error pages included."""
        handle = super().get_route_handler()

        async def silent(request: Request) -> Response:
            response = await handle(request)
            response.headers["Referrer-Policy"] = "no-referrer"
            return response

        return silent


def broken_page(request: Request, error: BrokenLink) -> HTMLResponse:
    """The page of a link that opens nothing, and whom to ask."""
    now = node_of(request).clock.now()
    return render("links/broken.html", 410, visitor=None, now=now, error=error)


def shut_out_page(request: Request, error: Forbidden) -> HTMLResponse:
    """The page of a good link that is followed from where the account can't be reached."""
    explained = Explained(
        403,
        error.reason,
        "Not from here",
        "The link is good, and stays so, but the account can't be reached from where you are.",
        f"The company admits listed IP addresses only, and {address_text(request)} is not among "
        "them.",
        "Open the link from an address that is listed, such as your office's, or ask the company "
        "to list this one.",
        (),
    )
    now = node_of(request).clock.now()
    return render("error.html", 403, visitor=None, now=now, error=explained)


def signed_in_here(request: Request) -> str | None:
    """The name of whoever is signed in at this browser; None if nobody is."""
    try:
        return visiting(request).name
    except (NotAdmitted, GatepassError):
        return None
