"""The redirect after a change, and whether this node has applied the change yet."""

from fastapi import Request
from starlette.responses import RedirectResponse

from gatepass.web.caller import node_of
from gatepass.web.pages.layout.headers import security_headers

_UNCONFIRMED = "unconfirmed"


def see_other(path: str, *, confirmed: bool = True) -> RedirectResponse:
    """Redirect to *path* with 303, so that a reload doesn't resubmit the form. Unless *confirmed*,
    the page there says that this node hasn't applied the change yet."""
    if not confirmed:
        path += ("&" if "?" in path else "?") + f"{_UNCONFIRMED}=1"
    response = RedirectResponse(path, 303)
    security_headers(response)
    return response


def is_unconfirmed(request: Request) -> bool:
    """Whether *request* is for the page after a change that this node hasn't applied yet. A node on
    SQLite never lags, even if a bookmarked address says so."""
    return _UNCONFIRMED in request.query_params and node_of(request).verifier.copy
