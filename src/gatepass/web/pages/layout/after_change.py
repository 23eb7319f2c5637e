"""What a page answers after a form was sent: the way on, or why nothing was saved."""

from fastapi import Request
from starlette.responses import RedirectResponse

from gatepass.core.errors import Unavailable
from gatepass.web.caller import node_of
from gatepass.web.pages.layout.headers import security_headers

_UNCONFIRMED = "unconfirmed"


def see_other(path: str, *, confirmed: bool = True) -> RedirectResponse:
    """Redirect to *path* (303: a reload doesn't send the form again), where a notice says so if
    this node has not caught up with the change."""
    if not confirmed:
        path += ("&" if "?" in path else "?") + f"{_UNCONFIRMED}=1"
    response = RedirectResponse(path, 303)
    security_headers(response)
    return response


def is_unconfirmed(request: Request) -> bool:
    """Whether *request* is for the page after a change that this node has not caught up with. A
    node on SQLite never lags, whatever a bookmark says."""
    return _UNCONFIRMED in request.query_params and node_of(request).verifier.copy


def not_saved(error: Unavailable, *, button: str = "Save") -> str:
    """Why a form was not saved, or that it isn't known, in a sentence."""
    if error.reason == "outcome_unknown":
        return error.message
    return f"It can't be saved at the moment, and nothing was. Press {button} again."
