"""Routes and pages of mailed links, including links that don't work."""

from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import BrokenLink, Forbidden, GatepassError
from gatepass.web.caller import NotAdmitted, node_of
from gatepass.web.pages.layout.after_change import is_unconfirmed
from gatepass.web.pages.layout.errors import Explained, PageRoute
from gatepass.web.pages.layout.form_state import FormState
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import address_text, require_allowed_address, visiting


class LinkRoute(PageRoute):
    """A route whose address is a secret; its pages send ``Referrer-Policy: no-referrer``.

    Browsers then send ``Origin: null`` with its forms, so their origin can't be checked. It needn't
    be: the address is the credential here, and the cookie lends it nothing. Where a browser says
    no ``Sec-Fetch-Site`` either, the form signs nobody in (``accept_invitation``).
    """

    own_forms_only = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint and its error pages."""
        handle = super().get_route_handler()

        async def silent(request: Request) -> Response:
            response = await handle(request)
            response.headers["Referrer-Policy"] = "no-referrer"
            return response

        return silent

    def compressed(self, request: Request, response: Response) -> Response:
        """*response* as it is: its form has the address."""
        return response

    def error_page(
        self, request: Request, error: Exception, typed: Sequence[tuple[str, str]]
    ) -> Response:
        """The page for *error*, with pages of their own for links that don't work."""
        if isinstance(error, BrokenLink):
            return render_open(request, "links/broken.html", 410, error=error)
        if isinstance(error, Forbidden) and error.reason == "company_address_not_allowed":
            return _locked_out_page(request, error)
        return super().error_page(request, error, typed)


def link_routers() -> tuple[APIRouter, APIRouter]:
    """The router of the open pages around a link, and that of the pages behind it."""
    open_pages = APIRouter(
        route_class=PageRoute,
        include_in_schema=False,
        dependencies=[Depends(require_allowed_address)],
    )
    return open_pages, APIRouter(route_class=LinkRoute, include_in_schema=False)


def render_open(
    request: Request, template: str, status: int = 200, **context: object
) -> HTMLResponse:
    """A page for visitors who aren't signed in."""
    now = node_of(request).clock.now()
    return render(template, status, visitor=None, now=now, **context)


def render_link_form(
    request: Request, template: str, state: FormState, **context: object
) -> HTMLResponse:
    """The page behind a link, with a form in *state*."""
    page = render_open(
        request, template, state.status, problems=defaultdict(str, state.problems), **context
    )
    if state.retry_after:
        page.headers["Retry-After"] = str(state.retry_after)
    return page


def done_page(request: Request, *, title: str, what: str, show_user: bool = True) -> HTMLResponse:
    """The page after a link was used, with the way to sign in.

    Args:
        show_user: whether to warn about a user who is signed in on this browser.
    """
    return render_open(
        request,
        "links/done.html",
        unconfirmed=is_unconfirmed(request),
        title=title,
        what=what,
        here=signed_in_here(request) if show_user else None,
    )


def _locked_out_page(request: Request, error: Forbidden) -> HTMLResponse:
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
    return render_open(request, "error.html", 403, error=explained)


def signed_in_here(request: Request) -> str | None:
    """The name of the user signed in on this browser; None if there is none."""
    try:
        return visiting(request).name
    except (NotAdmitted, GatepassError):
        return None
