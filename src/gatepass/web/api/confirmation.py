"""Answers to committed changes that this node's copy doesn't include yet (PostgreSQL).

A creation or sign-in answers with its body, which may hold a secret that is sent only once, and a
header. Any other change is 503 ``not_confirmed`` with the current record: the client must not
repeat the change, and must not assume that this node already enforces it.
"""

from typing import TypeVar

from starlette.responses import Response

from gatepass.core.errors import NotConfirmed
from gatepass.web.api.shapes import Record

HEADER = "Gatepass-Confirmed"

S = TypeVar("S", bound=Record)


def mark(response: Response, confirmed: bool) -> None:
    """Set the header in *response* if this node's copy doesn't include the change yet."""
    if not confirmed:
        response.headers[HEADER] = "false"


def settled(confirmed: bool, sent: S) -> S:
    """The answer to a change: *sent*, the record after it.

    Raises:
        NotConfirmed: this node's copy doesn't include the change yet.
    """
    if not confirmed:
        raise NotConfirmed(sent.model_dump(mode="json"))
    return sent


def put(answer: S, response: Response, confirmed: bool, *, created: str | None) -> S:
    """The answer to a PUT: 201 if it created the record.

    Args:
        created: the address of the record that was created; None if it was there already.

    Raises:
        NotConfirmed: this node's copy doesn't include a change of an existing record yet.
    """
    if created is None:
        return settled(confirmed, answer)
    response.status_code = 201
    response.headers["Location"] = created
    mark(response, confirmed)
    return answer
