"""``/v1/revoke`` and ``/v1/credentials/…``: report credentials that were found somewhere.

RFC 7009, the same for many texts at once, and what GitHub's secret scanning sends. The text is the
only credential that is read: no cookie, no CORS.
"""

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from gatepass.core.grants import DECOY
from gatepass.core.networks import format_address, parse_address
from gatepass.node.node import Node
from gatepass.registry.authentication.throttling import source_of
from gatepass.registry.notifications import reported_credentials
from gatepass.registry.notifications.reported_credentials import MOST
from gatepass.web.api.confirmation import mark
from gatepass.web.api.form_body import read_form
from gatepass.web.api.request_body import Fields, body, refusing, resource
from gatepass.web.api.secret_scanning import Signature, is_signed, read_alerts
from gatepass.web.caller import CurrentNode, address_of
from gatepass.web.http_boundary import problem_response
from gatepass.web.problems import Problem

router = resource("Reported credentials")

_LONGEST_TEXT = 4_096
_TEXTS: dict[str, Any] = {"maxItems": MOST}


class Reported(Fields):
    """Texts that were found somewhere."""

    credentials: list[Annotated[str, Field(max_length=_LONGEST_TEXT)]] = Field(
        max_length=MOST,
        json_schema_extra=_TEXTS,
        description="Texts, also ones that are no credentials of this Gatepass.",
        examples=[["gpat_4fT0aB3cD5eF7gH9…"]],
    )


class Accepted(BaseModel):
    """An empty object, whichever credentials matched."""


def _admitted(request: Request) -> str | None:
    """The reporter's address.

    Raises:
        TooManyAttempts: there were too many reports.
    """
    packed = address_of(request)
    address = None if packed is None else format_address(packed)
    request.app.state.report_rate.admit(source_of(address))
    return address


#: The address of a reporter who is admitted.
Reporter = Annotated[str | None, Depends(_admitted)]


@router.post("/revoke", include_in_schema=False)
async def revoke(request: Request, node: CurrentNode, address: Reporter) -> Response:
    """End the credential in the form field ``token`` (RFC 7009). 200 for an unknown one, too."""
    given = [value for name, value in await read_form(request) if name == "token"]
    if len(given) != 1 or not given[0]:
        detail = "There must be one form field named token."
        return problem_response(Problem(400, "invalid_request", detail))
    response = Response(status_code=200)
    await run_in_threadpool(_end, node, response, given, address)
    return response


@router.post(
    "/credentials/revoke",
    status_code=202,
    summary="Report leaked credentials",
    responses=refusing(429),
)
def revoke_all(
    response: Response,
    node: CurrentNode,
    address: Reporter,
    reported: Annotated[Reported, body(Reported)],
) -> Accepted:
    """For anyone who finds credentials, such as a secret scanner. Needs no credential: the texts
    are the proof. Access tokens, login tokens, portal sessions and admin keys among them are ended
    before the answer, and their owners get a mail; of verifier keys the operators get one. The
    answer is the same for texts that are no valid credentials. 10 requests a minute from an
    address, 60 in all."""
    _end(node, response, reported.credentials, address)
    return Accepted()


@router.post("/credentials/secret-scanning", include_in_schema=False)
async def secret_scanning(request: Request, response: Response, node: CurrentNode) -> Any:
    """End the credentials that GitHub's secret scanning found; the signature is its credential."""
    keys = node.settings.secret_scanning_keys
    if keys is None:
        raise HTTPException(404)
    content = await request.body()
    signature = Signature.of(request.headers.getlist)
    if not await run_in_threadpool(is_signed, content, signature, keys):
        return problem_response(Problem(401, "token_invalid", "The signature isn't valid."))
    found = read_alerts(content)
    packed = address_of(request)
    address = None if packed is None else format_address(packed)
    known: set[str] = set()
    for start in range(0, len(found), MOST):
        texts = [alert.token for alert in found[start : start + MOST]]
        known |= await run_in_threadpool(_end, node, response, texts, address)
    return [alert.answer(alert.token in known) for alert in found]


def _end(node: Node, response: Response, texts: list[str], address: str | None) -> set[str]:
    """End what can be ended; returns those of *texts* that are, or were, credentials."""
    with node.database.read(node.clock.now()) as reading:
        known = reported_credentials.recognized(reading, texts)
    # Decoys are answered like unknown texts.
    for text in [text for text, grant in known.items() if grant.kind == DECOY]:
        node.verifier.note_decoy(known.pop(text), parse_address(address))
    # Nothing is written for texts that are no valid credentials.
    if not all(grant.ended for grant in known.values()):
        with node.database.write(node.clock.now()) as change:
            reported_credentials.end(change, texts, address=address)
        node.mailing.wake()
        mark(response, change.confirmed)
    return set(known)
