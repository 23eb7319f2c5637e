"""Answers to a submitted form: the redirect after saving, or why nothing was saved."""

from fastapi import Request
from starlette.responses import RedirectResponse

from gatepass.core.errors import Unavailable
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


def not_saved(error: Unavailable, *, button: str = "Save") -> str:
    """Why a form was not saved, or that the outcome is unknown, in a sentence."""
    if error.reason == "outcome_unknown":
        return error.message
    return f"Not saved: the server can't save changes right now. Press {button} again."
