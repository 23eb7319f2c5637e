"""What the pages behind mailed links share."""

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
    """A route whose address is a secret; its pages send ``Referrer-Policy: no-referrer``.

    Browsers then send ``Origin: null`` with its forms, so their origin can't be checked. It needn't
    be: the address is the credential here, and cookies are ignored.
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
    """The page of a broken link, with who to ask for a new one."""
    now = node_of(request).clock.now()
    return render("links/broken.html", 410, visitor=None, now=now, error=error)


def shut_out_page(request: Request, error: Forbidden) -> HTMLResponse:
    """The page of a valid link opened from an address that isn't allowed."""
    explained = Explained(
        403,
        error.reason,
        "Address not allowed",
        "Your link is valid and keeps working, but it can't be used from your address.",
        f"The company allows only listed IP addresses, and {address_text(request)} isn't one of "
        "them.",
        "Open the link from a listed address, such as your office's, or ask the company to add "
        "this one.",
        (),
    )
    now = node_of(request).clock.now()
    return render("error.html", 403, visitor=None, now=now, error=explained)


def signed_in_here(request: Request) -> str | None:
    """The name of the user signed in on this browser; None if there is none."""
    try:
        return visiting(request).name
    except (NotAdmitted, GatepassError):
        return None
