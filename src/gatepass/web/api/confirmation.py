"""A change that stands although this node doesn't decide by it yet (PostgreSQL).

A creation and a sign-in answer with what they made, which may never be shown again, and say it in
a header. Any other change is 503 ``not_confirmed`` with the record as it is now: the change must
not be repeated, but nobody may take it for effective here.
"""

from typing import TypeVar

from starlette.responses import Response

from gatepass.core.errors import NotConfirmed
from gatepass.web.api.shapes import Record

HEADER = "Gatepass-Confirmed"

S = TypeVar("S", bound=Record)


def mark(response: Response, confirmed: bool) -> None:
    """Say in *response* if this node has not caught up with what was created."""
    if not confirmed:
        response.headers[HEADER] = "false"


def settled(confirmed: bool, sent: S) -> S:
    """The answer to a change.

    Args:
        sent: the record as the change left it.

    Raises:
        NotConfirmed: this node has not caught up with the change.
    """
    if not confirmed:
        raise NotConfirmed(sent.model_dump(mode="json"))
    return sent
