"""The composition root of the main port: a node in, an ASGI application out.

From the outside in: the endpoints for gateways and services, and the feed, which know no framework;
the edge that every other request passes; FastAPI with the API, the pages and what is handed in.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp

from gatepass.core.errors import GatepassError, InvalidInput
from gatepass.node.node import Node
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web import api, metrics, pages
from gatepass.web.api.body import field_errors
from gatepass.web.bodies import Bodies
from gatepass.web.caller import Refused, refuse_from_outside
from gatepass.web.cookies import cookie_name, login_cookie
from gatepass.web.feed.paths import FeedPaths
from gatepass.web.gateway.asgi import GatewayPaths
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.http_boundary import Edge
from gatepass.web.misconfiguration import Fault, Misconfigurations
from gatepass.web.openapi import openapi_document
from gatepass.web.own_address import opened_elsewhere
from gatepass.web.pages.layout.errors import error_page
from gatepass.web.problem_response import problem_response
from gatepass.web.problems import (
    Problem,
    problem_of_decision,
    problem_of_error,
    problem_of_status,
)
from gatepass.web.transport_security import TransportSecurity, promises_https

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def create_app(
    node: Node, extra: Sequence[APIRouter] = (), *, beside: Sequence[str] = ()
) -> ASGIApp:
    """The main port's application.

    Args:
        node: what answers; its settings are the application's.
        extra: more routers, such as the demo's.
        beside: the paths under which this address answers with a guarded API as well, as the demo
            does; examples then call it here.
    """
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.state.node = node
    trusted = TrustedProxies.of(node.settings.trusted_proxies)
    app.state.trusted = trusted
    misconfigurations = Misconfigurations()
    app.state.misconfigurations = misconfigurations
    app.state.beside = tuple(beside)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)

    @app.get("/v1/openapi.json", include_in_schema=False)
    def openapi(request: Request) -> Response:
        refuse_from_outside(request)
        return JSONResponse(_document(cookie_name(node.settings)))

    for router in (api.router, metrics.router, pages.router, *extra):
        app.include_router(router)
    endpoints = Endpoints(node.verifier, trusted, node.verifier.not_ready, misconfigurations)
    bodies = Bodies()
    edge = Edge(app, bodies, trusted=trusted)
    application = GatewayPaths(FeedPaths(edge, node, bodies), endpoints, bodies)
    https = promises_https(node.settings.public_url)
    return TransportSecurity(application) if https else application


@cache
def _document(cookie: str) -> dict[str, Any]:
    # Once, and when somebody asks: it takes as long as everything else at a worker's start.
    return openapi_document(api.router, cookie)


async def _refused(request: Request, refused: Refused) -> Response:
    problem = problem_of_decision(refused.decision)
    return problem_response(_with_uncounted_cookie(request, problem))


def _with_uncounted_cookie(request: Request, problem: Problem) -> Problem:
    """Say why a login cookie that was sent didn't count, if it is the dashboard's own page that
    sent it from another address than ours."""
    if problem.reason != "token_missing" or login_cookie(request) is None:
        return problem
    elsewhere = opened_elsewhere(request, request.app.state.node.settings.public_url)
    if elsewhere is None or not elsewhere.is_ours:
        return problem
    request.app.state.misconfigurations.note(
        Fault.form_from_elsewhere, elsewhere.origin, elsewhere.expected
    )
    detail = (
        f"{problem.detail} The cookie doesn't count: the request came from {elsewhere.origin}, and "
        f"GATEPASS_PUBLIC_URL is {elsewhere.expected}."
    )
    return replace(problem, detail=detail)


async def _failed(request: Request, error: GatepassError) -> Response:
    return problem_response(problem_of_error(error))


async def _not_valid(request: Request, error: RequestValidationError) -> Response:
    errors: list[dict[str, Any]] = [dict(one) for one in error.errors()]
    # What can't be an id is nobody's id.
    if any(one["loc"][0] == "path" for one in errors):
        return problem_response(problem_of_status(404))
    for one in errors:
        one["loc"] = one["loc"][1:]
    return problem_response(problem_of_error(InvalidInput(field_errors(errors))))


async def _http_fault(request: Request, fault: HTTPException) -> Response:
    more = tuple((fault.headers or {}).items())
    if fault.status_code == 405:
        more = (("allow", _allowed(request)),)
    if _for_people(request):
        fault.headers = dict(more)
        return await run_in_threadpool(error_page, request, fault)
    return problem_response(problem_of_status(fault.status_code, more))


async def _our_fault(request: Request, error: Exception) -> Response:
    # The edge logs it.
    return problem_response(problem_of_status(500))


_HANDLERS: dict[type[Exception], Any] = {
    Refused: _refused,
    GatepassError: _failed,
    RequestValidationError: _not_valid,
    HTTPException: _http_fault,
    Exception: _our_fault,
}


def _for_people(request: Request) -> bool:
    """Whether it is someone at a browser who went astray, and not a program."""
    is_api = request.url.path.startswith("/v1/")
    return not is_api and "text/html" in request.headers.get("accept", "")


def _allowed(request: Request) -> str:
    """The methods that the address does answer. The framework names only one route's."""
    methods = [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.router.routes
        )
    ]
    if "GET" in methods:
        methods.append("HEAD")
    return ", ".join(sorted(methods))
