"""/sign-in/oidc: sign in with the OIDC provider; its callback, also for linking an account."""

from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from gatepass.core.errors import Conflict, Forbidden, Unavailable
from gatepass.node.node import Node
from gatepass.oidc.callback import CALLBACK
from gatepass.registry.authentication import identities
from gatepass.web import provider_flow
from gatepass.web.caller import CurrentNode, NotAdmitted
from gatepass.web.cookies import set_login_cookie
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.headers import security_headers
from gatepass.web.pages.layout.navigation import IDENTITY
from gatepass.web.pages.layout.resuming import HOME
from gatepass.web.pages.layout.screen import page_router
from gatepass.web.pages.layout.sign_in_form import sign_in_form
from gatepass.web.pages.layout.visitor import visiting
from gatepass.web.pages.sign_in.sign_in import own_path
from gatepass.web.provider_flow import Answered, FlowRefused

if TYPE_CHECKING:
    # Most installations have no provider, and start faster without the HTTP client.
    from gatepass.oidc.provider import Provider

router = page_router()


@router.get("/sign-in/oidc")
async def set_out(node: CurrentNode, next: Annotated[str, Query()] = HOME) -> Response:
    """Redirect to the provider."""
    provider, path = _provider(node), own_path(next)
    try:
        begun = await provider_flow.begin(node, provider, path)
    except Unavailable as error:
        return sign_in_form(node, path, 503, problem=error.message, retry_after=30)
    response = security_headers(RedirectResponse(begun.url, 303))
    begun.keep(response, node.settings)
    return response


@router.get(CALLBACK)
async def come_back(request: Request, node: CurrentNode) -> Response:
    """Sign in the user of the provider's answer, or link their account."""
    provider = _provider(node)
    try:
        answer = await provider_flow.answered(request, provider)
        if answer.flow.authentication:
            response = await run_in_threadpool(_link, request, node, provider, answer)
        else:
            response = await _sign_in(request, node, provider, answer)
    except FlowRefused as refused:
        node.counters.sign_in_failures.add("provider")
        response = _failed(request, node, provider, 401, refused.message)
    except Unavailable as error:
        response = _failed(request, node, provider, 503, error.message)
    # Whatever became of it, the flow is over.
    return provider_flow.leave(response, node.settings)


def _failed(
    request: Request, node: Node, provider: "Provider", status: int, problem: str
) -> Response:
    """The page from which the visitor tries again, and gets where they wanted to go."""
    flow = provider_flow.flow_of(request, provider)
    if flow is not None and flow.authentication:
        failed = "refused" if status == 401 else "unavailable"
        return see_other(f"{IDENTITY.path}?failed={failed}")
    path = HOME if flow is None else own_path(flow.path)
    retry_after = 0 if status == 401 else 30
    return sign_in_form(node, path, status, problem=problem, retry_after=retry_after)


async def _sign_in(
    request: Request, node: Node, provider: "Provider", answer: Answered
) -> Response:
    made = await provider_flow.sign_in(request, provider, answer)
    response = see_other(own_path(answer.flow.path), confirmed=made.confirmed)
    set_login_cookie(response, node.settings, made.text, made.authentication.expires_at)
    return response


def _link(request: Request, node: Node, provider: "Provider", answer: Answered) -> Response:
    """Link the account of the user who re-authenticated, if they are still signed in here."""
    try:
        visitor = visiting(request)
        if visitor.actor.credential != answer.flow.authentication:
            return see_other(f"{IDENTITY.path}?failed=refused")
        with node.database.write(node.clock.now()) as change:
            identities.link(
                change, visitor.actor, issuer=provider.issuer, subject=answer.claims["sub"]
            )
    except (NotAdmitted, Forbidden):
        return see_other("/sign-in")
    except Conflict:
        return see_other(f"{IDENTITY.path}?failed=taken")
    return see_other(f"{IDENTITY.path}?done=linked", confirmed=change.confirmed)


def _provider(node: Node) -> "Provider":
    if node.provider is None:
        raise HTTPException(404)
    return node.provider
