"""``/v1/oidc/back-channel-logout``: the OIDC provider announces that it signed a user out.

OpenID Connect Back-Channel Logout 1.0. The signed token is the only credential: no cookie, no CORS.
"""

import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from gatepass.node.node import Node
from gatepass.oidc.errors import TokenRefused
from gatepass.registry.authentication import provider_sign_in
from gatepass.web.api.confirmation import mark
from gatepass.web.caller import CurrentNode
from gatepass.web.http_boundary import problem_response
from gatepass.web.problems import Problem

if TYPE_CHECKING:
    # Most installations have no provider, and start faster without the HTTP client.
    from gatepass.oidc.tokens import Logout

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20

_log = logging.getLogger("gatepass.oidc")

# For the provider alone, which knows it from its own specification.
router = APIRouter(include_in_schema=False)


@router.post("/oidc/back-channel-logout")
async def back_channel_logout(request: Request, node: CurrentNode) -> Response:
    """End all sign-ins of the logout token's user, once."""
    provider = node.provider
    if provider is None:
        raise HTTPException(404)
    try:
        logout = await provider.read_logout(await _token(request))
        response = await run_in_threadpool(_carry_out, node, provider.issuer, logout)
    except TokenRefused as refused:
        if provider.log_limit.left_out(("logout", refused.why)) is not None:
            _log.warning("a logout token of %s was refused: %s", provider.name, refused.why)
        return problem_response(Problem(400, "invalid_request", "The logout token isn't accepted."))
    return response


def _carry_out(node: Node, issuer: str, logout: "Logout") -> Response:
    response = Response(status_code=200)
    with node.database.write(node.clock.now()) as change:
        first = provider_sign_in.log_out(
            change,
            issuer=issuer,
            subject=logout.subject,
            session=logout.session,
            token_id=logout.token_id,
        )
    if not first:
        raise TokenRefused("used")
    mark(response, change.confirmed)
    return response


async def _token(request: Request) -> str:
    """The ``logout_token`` of the form.

    Raises:
        TokenRefused: there isn't exactly one.
        HTTPException: the body isn't a form (415).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise HTTPException(415)
    try:
        text = (await request.body()).decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise TokenRefused("malformed") from None
    given = [value for name, value in fields if name == "logout_token"]
    if len(given) != 1:
        raise TokenRefused("malformed")
    return given[0]
