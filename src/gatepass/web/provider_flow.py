"""The way to the OIDC provider and back: a sign-in, or linking one's own account.

Between the two, the browser keeps the flow's state in an encrypted cookie. The answer is accepted
only within ten minutes and from that browser (``state``), with a token made for this flow
(``nonce``), and once in the whole installation.
"""

import hmac
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gatepass.core.errors import SignInFailed
from gatepass.node.node import Node
from gatepass.oidc.claims import read_id
from gatepass.oidc.errors import TokenRefused
from gatepass.registry.authentication import provider_sign_in, used_once
from gatepass.registry.authentication.provider_sign_in import Identified, ProviderSignInFailed
from gatepass.registry.authentication.sign_in import SignedIn
from gatepass.settings import Settings
from gatepass.web.caller import node_of
from gatepass.web.cookies import clear_provider_cookie, provider_cookie, set_provider_cookie
from gatepass.web.credentials import address_text_of

if TYPE_CHECKING:
    # Most installations have no provider, and start faster without the HTTP client.
    from gatepass.oidc.provider import Provider

LIFETIME_S = 600
#: The cookie lives longer than the flow, so that a late visitor still gets where they wanted to go.
_REMEMBERED_S = 24 * 3600
_LONGEST_CODE = 4096
#: More values than a sensible claim has; each is compared with each mapping.
_MOST_VALUES = 1_000

_log = logging.getLogger("gatepass.oidc")


@dataclass(frozen=True)
class Flow:
    """A flow that began in this browser.

    Attributes:
        path: the page to open afterwards.
        began_at: Unix ms.
        authentication: for linking, the id of the login token in use; "" for a sign-in.
    """

    state: str
    nonce: str
    verifier: str
    path: str
    began_at: int
    authentication: str = ""


@dataclass(frozen=True)
class Answered:
    """An accepted answer of the provider: the flow it belongs to, and the token's claims."""

    flow: Flow
    claims: Mapping[str, Any]


class FlowRefused(SignInFailed):
    """The provider's answer isn't accepted. The log says why; a visitor sees one sentence."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message


async def begin(node: Node, provider: "Provider", path: str, authentication: str = "") -> "Begun":
    """Begin a flow.

    Raises:
        ProviderUnavailable: the provider can't be reached.
    """
    flow = Flow(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
        path=path,
        began_at=node.clock.now(),
        authentication=authentication,
    )
    url = await provider.authorization_url(
        state=flow.state,
        nonce=flow.nonce,
        verifier=flow.verifier,
        # An account to link must be the visitor's own, and not of one who used the browser before
        # or signed it in there by a trick.
        silent=not authentication,
    )
    return Begun(url, provider.flows.encrypt(json.dumps(asdict(flow)).encode()))


@dataclass(frozen=True)
class Begun:
    """A flow that has begun: the provider's URL, and the cookie."""

    url: str
    cookie: str

    def keep(self, response: Response, settings: Settings) -> None:
        """Keep the flow in the browser."""
        set_provider_cookie(response, settings, self.cookie, _REMEMBERED_S)


async def answered(request: Request, provider: "Provider") -> Answered:
    """The provider's answer in the query of *request*, if it belongs to this browser's flow.

    Raises:
        FlowRefused: it doesn't, was used before, is an error, or its token isn't accepted.
        ProviderUnavailable, Unavailable: the provider or the database can't be used.
    """
    node = node_of(request)
    query = request.query_params.multi_items()
    given = dict(query)
    if len(given) != len(query):
        raise _refuse(provider, "repeated_parameter")
    flow = flow_of(request, provider)
    # Other nodes' clocks differ by less than the tolerance.
    if flow is None or abs(node.clock.now() - flow.began_at) >= LIFETIME_S * 1000:
        raise _refuse(provider, "no_flow")
    if not hmac.compare_digest(given.get("state", "").encode(), flow.state.encode()):
        raise _refuse(provider, "state")
    if not await run_in_threadpool(_use_up, node, flow):
        raise _refuse(provider, "used")
    try:
        await provider.check_issuer(given.get("iss"))
        if "error" in given:
            # Its text isn't logged: the provider's users write it.
            raise TokenRefused("provider_refused")
        code = given.get("code", "")
        if not 1 <= len(code) <= _LONGEST_CODE:
            raise TokenRefused("no_code")
        claims = await provider.redeem(code=code, verifier=flow.verifier, nonce=flow.nonce)
    except TokenRefused as refused:
        raise _refuse(provider, refused.why) from None
    return Answered(flow, claims)


async def sign_in(request: Request, provider: "Provider", answer: Answered) -> SignedIn:
    """Sign in the user of the provider's answer.

    Raises:
        FlowRefused: the user may not sign in.
        Forbidden: ``address_not_allowed``; the client address can't be determined.
        Unavailable: the database can't be used.
    """
    node, address = node_of(request), address_text_of(request)
    try:
        who = identified(node.settings, provider.issuer, answer)
    except TokenRefused as refused:
        raise _refuse(provider, refused.why) from None
    try:
        return await run_in_threadpool(
            partial(
                provider_sign_in.sign_in,
                node.database,
                node.catalogue,
                who,
                address=address,
                user_agent=request.headers.get("user-agent"),
                now=node.clock.now,
                lifetime_ms=node.settings.login_lifetime * 1000,
            )
        )
    except ProviderSignInFailed as refused:
        _log_refusal(provider, refused.why, who.subject)
        raise FlowRefused(refused.message) from None


def identified(settings: Settings, issuer: str, answer: Answered) -> Identified:
    """What the claims say about the user, by the settings.

    Raises:
        TokenRefused: a claim can't be read.
    """
    claims = answer.claims
    email = claims.get("email")
    # Exactly true: "true" or 1 would be a provider's mistake, in whichever direction.
    verified = isinstance(email, str) and claims.get("email_verified") is True
    company = settings.oidc_company
    if settings.oidc_company_claim is not None:
        value = claims.get(settings.oidc_company_claim)
        company = value if isinstance(value, str) and value.isprintable() else None
    name = claims.get("name", claims.get("preferred_username"))
    methods = claims.get("amr")
    return Identified(
        issuer=issuer,
        subject=read_id(claims, "sub") or "",
        email=email if verified else None,
        name=name if isinstance(name, str) else "",
        company=company,
        roles=_roles(settings, claims),
        session=read_id(claims, "sid"),
        second_factor=isinstance(methods, list) and "mfa" in methods,
        began_at=answer.flow.began_at,
    )


def flow_of(request: Request, provider: "Provider") -> Flow | None:
    """The flow in the request's cookie, however old, if this installation began it."""
    plain = provider.flows.decrypt(provider_cookie(request))
    if plain is None:
        return None
    try:
        return Flow(**json.loads(plain))
    except TypeError:
        # Another version of Gatepass began it, during an upgrade.
        return None


def leave(response: Response, settings: Settings) -> Response:
    """Delete the flow from the browser; returns *response*."""
    clear_provider_cookie(response, settings)
    return response


def _roles(settings: Settings, claims: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The mapped roles, in the order of the setting; None if no mapping is configured."""
    if settings.oidc_role_claim is None:
        return None
    given = claims.get(settings.oidc_role_claim)
    values = given[:_MOST_VALUES] if isinstance(given, list) else [given]
    texts = {value for value in values if isinstance(value, str)}
    return tuple(mapping.role for mapping in settings.oidc_roles if mapping.value in texts)


def _use_up(node: Node, flow: Flow) -> bool:
    with node.database.auxiliary_write(node.clock.now()) as write:
        return used_once.use(write, "state", flow.state, kept_ms=2 * LIFETIME_S * 1000)


def _refuse(provider: "Provider", why: str) -> FlowRefused:
    _log_refusal(provider, why)
    if why == "provider_refused":
        return FlowRefused(f"{provider.name} didn't sign you in.")
    return FlowRefused(f"Signing in with {provider.name} didn't work. Try again.")


def _log_refusal(provider: "Provider", why: str, subject: str | None = None) -> None:
    # A stranger can repeat a line without a subject.
    if provider.log_limit.left_out(("sign-in", why, subject)) is not None:
        whose = "" if subject is None else f" (subject {subject!a})"
        _log.warning("a sign-in with %s was refused: %s%s", provider.name, why, whose)
