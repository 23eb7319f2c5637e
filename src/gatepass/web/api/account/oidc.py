"""``/v1/oidc``: the OIDC provider signs a user out, or revokes everything of theirs.

OpenID Connect Back-Channel Logout 1.0, and draft-parecki-oauth-global-token-revocation. The signed
token is the only credential: no cookie, no CORS.
"""

import logging
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from gatepass.core.decision import Call, Decision, Reason
from gatepass.core.errors import InvalidInput
from gatepass.node.node import Node
from gatepass.oidc.errors import TokenRefused
from gatepass.registry.authentication import provider_sign_in
from gatepass.registry.input.emails import LONGEST_EMAIL
from gatepass.web.api.confirmation import mark
from gatepass.web.api.form_body import read_form
from gatepass.web.api.request_body import PREFIX, Fields, body
from gatepass.web.caller import CurrentNode, NotAdmitted
from gatepass.web.http_boundary import problem_response
from gatepass.web.problems import Problem

if TYPE_CHECKING:
    # Most installations have no provider, and start faster without the HTTP client.
    from gatepass.oidc.provider import Provider
    from gatepass.oidc.tokens import Logout

_log = logging.getLogger("gatepass.oidc")

# For the provider alone, which knows them from their own specifications.
router = APIRouter(prefix=PREFIX, include_in_schema=False)


class SubjectIdentifier(Fields):
    """RFC 9493, of the formats ``iss_sub`` and ``email``."""

    format: Literal["iss_sub", "email"]
    iss: str | None = Field(None, max_length=2_000)
    sub: str | None = Field(None, max_length=255)
    email: str | None = Field(None, max_length=LONGEST_EMAIL)


class Revocation(Fields):
    """The request of a global token revocation."""

    sub_id: SubjectIdentifier


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


async def _revoker(request: Request, node: CurrentNode) -> str:
    """The id of the token that authenticates a revocation.

    Raises:
        NotAdmitted: it isn't accepted; the log says why.
        ProviderUnavailable: the provider's keys can't be had.
    """
    provider = node.provider
    if provider is None:
        raise HTTPException(404)
    try:
        return await provider.read_revocation(_bearer(request))
    except TokenRefused as refused:
        raise _not_admitted(provider, refused.why) from None


@router.post("/oidc/global-token-revocation")
async def global_token_revocation(
    node: CurrentNode,
    token_id: Annotated[str, Depends(_revoker)],
    fields: Annotated[Revocation, body(Revocation)],
) -> Response:
    """End all sign-ins of a user, and deactivate all of their access tokens."""
    provider = node.provider
    assert provider is not None
    who = fields.sub_id
    try:
        found, confirmed = await run_in_threadpool(_revoke, node, provider.issuer, who, token_id)
    except TokenRefused as refused:
        raise _not_admitted(provider, refused.why) from None
    if not found:
        raise HTTPException(404)
    response = Response(status_code=204)
    mark(response, confirmed)
    return response


def _revoke(node: Node, issuer: str, who: SubjectIdentifier, token_id: str) -> tuple[bool, bool]:
    by_address = who.format == "email"
    wanted = ("email",) if by_address else ("iss", "sub")
    missing = [(f"sub_id.{name}", "Must be given.") for name in wanted if not getattr(who, name)]
    if missing:
        raise InvalidInput(missing)
    with node.database.write(node.clock.now()) as change:
        found = provider_sign_in.revoke_all(
            change,
            issuer=issuer,
            # The accounts of another issuer are unknown here.
            subject=None if by_address or who.iss != issuer else who.sub,
            email=who.email if by_address else None,
            token_id=token_id,
        )
    if found is None:
        raise TokenRefused("used")
    return found, change.confirmed


def _not_admitted(provider: "Provider", why: str) -> NotAdmitted:
    if provider.log_limit.left_out(("revocation", why)) is not None:
        _log.warning("a revocation token of %s was refused: %s", provider.name, why)
    refusal = Reason.token_invalid
    return NotAdmitted(Decision(refusal, None, frozenset(), Call(refusal)))


def _bearer(request: Request) -> str:
    """The token of the one ``Authorization`` header.

    Raises:
        TokenRefused: there isn't exactly one, or it is of another scheme.
    """
    lines = request.headers.getlist("authorization")
    scheme, _, token = lines[0].partition(" ") if len(lines) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise TokenRefused("malformed")
    return token.strip(" ")


async def _token(request: Request) -> str:
    """The ``logout_token`` of the form.

    Raises:
        TokenRefused: there isn't exactly one.
        HTTPException: the body isn't a form (415).
    """
    given = [value for name, value in await read_form(request) if name == "logout_token"]
    if len(given) != 1:
        raise TokenRefused("malformed")
    return given[0]
