"""Composition root of the main port: builds the ASGI application of a node.

From the outside in: the gateway endpoints and the feed, which use no framework; the HTTP boundary
around every other request; FastAPI with the API, the pages and any extra routers.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp

from gatepass.core.errors import Forbidden, GatepassError, InvalidInput
from gatepass.node.node import Node
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web import components, pages, well_known
from gatepass.web.api import router as api
from gatepass.web.api.request_body import field_errors
from gatepass.web.body_limits import Bodies
from gatepass.web.caller import NotAdmitted, refuse_from_outside
from gatepass.web.cookies import cookie_name, login_cookie
from gatepass.web.cross_origin import CrossOrigin
from gatepass.web.encoded_slashes import EncodedSlashes
from gatepass.web.feed.paths import FeedPaths
from gatepass.web.gateway.asgi import GatewayPaths
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.http_boundary import (
    HttpBoundary,
    StrictTransportSecurity,
    problem_response,
    promises_https,
)
from gatepass.web.metrics import endpoint as metrics
from gatepass.web.metrics.http_durations import HttpDurations
from gatepass.web.misconfiguration import Fault, Misconfigurations
from gatepass.web.openapi import VERSION, openapi_document
from gatepass.web.pages.layout.errors import error_page
from gatepass.web.problems import Problem, problem_of_error, problem_of_status
from gatepass.web.public_origin import opened_elsewhere
from gatepass.web.report_rate import ReportRate
from gatepass.web.route_templates import RouteTemplates
from gatepass.web.tracing import Traced, tracer_of
from gatepass.web.way_out import problem_of_forbidden, problem_of_refusal

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def create_app(
    node: Node,
    extra: Sequence[APIRouter] = (),
    *,
    beside: Sequence[str] = (),
    tracer: "Tracer | None" = None,
) -> ASGIApp:
    """The main port's application.

    Args:
        node: answers the requests; the application uses its settings.
        extra: more routers, such as the demo's.
        beside: path prefixes of guarded APIs on the same address, as in the demo; examples on pages
            then call them here.
        tracer: makes the spans of requests; by default as the environment asks for.
    """
    # FastAPI's own spans have paths and queries, and so the secrets of links (``tracing``).
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.node = node
    trusted = TrustedProxies.of(node.settings.trusted_proxies)
    app.state.trusted = trusted
    misconfigurations = Misconfigurations(node.counters.misconfigurations)
    app.state.misconfigurations = misconfigurations
    app.state.report_rate = ReportRate(node.settings.data_dir / "report-rate")
    app.state.beside = tuple(beside)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)

    app.add_api_route("/v1/openapi.json", _openapi, include_in_schema=False)
    app.router.routes.extend(_routes())
    for router in extra:
        app.router.routes.extend(router.routes)
    endpoints = Endpoints(
        node.verifier,
        trusted,
        node.readiness.not_ready,
        node.counters,
        misconfigurations,
        logged=node.settings.access_log,
    )
    bodies = Bodies()
    templates = RouteTemplates(app.router.routes)
    timed = HttpDurations(app, templates, node.counters.http_durations)
    app.state.http_durations = timed
    tracer = tracer or tracer_of(os.environ, VERSION)
    framework = CrossOrigin(
        EncodedSlashes(timed if tracer is None else Traced(timed, templates, tracer)),
        api.endpoints(cross_origin=True),
        others=api.endpoints(cross_origin=False),
    )
    boundary = HttpBoundary(framework, bodies, trusted=trusted)
    application = GatewayPaths(FeedPaths(boundary, node, bodies), endpoints, bodies)
    if promises_https(node.settings.public_url):
        return StrictTransportSecurity(application)
    return application


def _openapi(request: Request) -> Response:
    # Not within ``create_app``: FastAPI remembers functions, and with it their application.
    refuse_from_outside(request)
    settings = request.app.state.node.settings
    return Response(
        _document(cookie_name(settings), settings.public_url), media_type="application/json"
    )


@cache
def _routes() -> Sequence[BaseRoute]:
    # As they are: including a router would analyse each of its functions once more.
    routers = (api.router, metrics.router, well_known.router, components.router, pages.router)
    return [route for router in routers for route in router.routes]


@lru_cache(maxsize=4)
def _document(cookie: str, public_url: str) -> bytes:
    # Generated once, on first use: it takes as long as the rest of a worker's start.
    document = openapi_document(api.router, cookie, public_url)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


async def _refused(request: Request, refused: NotAdmitted) -> Response:
    problem = problem_of_refusal(request, refused.decision)
    return problem_response(_with_ignored_cookie(request, problem))


def _with_ignored_cookie(request: Request, problem: Problem) -> Problem:
    """Explain an ignored login cookie, if the dashboard's own page sent it from another origin."""
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


async def _forbidden(request: Request, error: Forbidden) -> Response:
    return problem_response(problem_of_forbidden(request, error))


async def _failed(request: Request, error: GatepassError) -> Response:
    return problem_response(problem_of_error(error))


async def _not_valid(request: Request, error: RequestValidationError) -> Response:
    errors: list[dict[str, Any]] = [dict(one) for one in error.errors()]
    # A malformed id is an unknown one.
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
    # The HTTP boundary logs it.
    return problem_response(problem_of_status(500))


_HANDLERS: dict[type[Exception], Any] = {
    NotAdmitted: _refused,
    Forbidden: _forbidden,
    GatepassError: _failed,
    RequestValidationError: _not_valid,
    HTTPException: _http_fault,
    Exception: _our_fault,
}


def _for_people(request: Request) -> bool:
    """Whether the client is a browser that shows a page, not a program."""
    is_api = request.url.path.startswith("/v1/")
    return not is_api and "text/html" in request.headers.get("accept", "")


def _allowed(request: Request) -> str:
    """The Allow header: methods of all routes of the path. The framework names only one route's."""
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
