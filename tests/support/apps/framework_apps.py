"""One small guarded API in every framework, called as a server would call it.

``POST /charges``, ``GET /charges/{id}`` and ``POST /charges/{id}/payout`` need a permission each,
``GET /health`` is exempt, and ``GET /forgotten`` has no declaration.
"""

import asyncio
import io
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import django
import flask
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import JsonResponse
from django.test.utils import override_settings
from django.urls import path
from django.views import View
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gatepass import Decision, Verifier
from gatepass.embed import asgi, wsgi
from gatepass.embed.fastapi import Guard
from tests.support.apps.answer import Answer

# This changes nothing in the process except Django's settings.
settings.configure(
    ALLOWED_HOSTS=["*"],
    LOGGING_CONFIG=None,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"],
)
django.setup()

from gatepass.embed.django import exempt, requires  # noqa: E402 - reads Django's settings

MIDDLEWARE = ["gatepass.embed.django.GatepassMiddleware"]
PERMISSIONS = {
    "POST /charges": "charges:create",
    "GET /charges/{id}": "charges:get",
    "POST /charges/{id}/payout": "payouts:create",
}
EXEMPT = ["GET /health"]

Lines = Iterable[tuple[str, str | bytes]]


@dataclass
class GuardedApp:
    """A guarded application.

    Attributes:
        reached: the methods of the calls that reached it.
        call: sends it a call: method, target, header lines, socket peer.
    """

    call: Callable[..., Answer]
    reached: list[str] = field(default_factory=list)


# --- callers ------------------------------------------------------------------------------------


def asgi_call(app: Any, **more: Any) -> Callable[..., Answer]:
    """A caller of an ASGI application, like Uvicorn."""

    def call(
        method: str, target: str, lines: Lines = (), peer: str | None = "203.0.113.9"
    ) -> Answer:
        sent: list[Any] = []
        events = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if events:
                return events.pop()
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        raw, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
            "raw_path": raw.encode("latin-1"),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), _bytes(value)) for name, value in lines],
            "client": None if peer is None else (peer, 40_000),
            "server": ("api.example", 80),
            **more,
        }
        asyncio.run(app(scope, receive, send))
        headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], headers, body)

    return call


def wsgi_environ(
    method: str, target: str, lines: Lines = (), peer: str | None = "203.0.113.9", **more: Any
) -> dict[str, Any]:
    """The environ that Gunicorn, Waitress and Werkzeug make of a request."""
    raw, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "SERVER_NAME": "api.example",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if peer is not None:
        environ["REMOTE_ADDR"] = peer
    for name, value in lines:
        key = "HTTP_" + name.upper().replace("-", "_")
        text = _bytes(value).decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return {**environ, **more}


def wsgi_call(app: Any, **more: Any) -> Callable[..., Answer]:
    """A caller of a WSGI application."""

    def call(*what: Any, **how: Any) -> Answer:
        started: list[Any] = []
        environ = wsgi_environ(*what, **{**how, **more})
        result = app(environ, lambda *line: started.append(line))
        body = b"".join(result)
        if hasattr(result, "close"):
            result.close()
        (status, headers, *_), *again = started
        assert again == []
        return Answer(int(status[:3]), [(str(name), str(value)) for name, value in headers], body)

    return call


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


# --- the frameworks -----------------------------------------------------------------------------


def _said(decision: Decision | None) -> dict[str, Any]:
    return {"token": None if decision is None else decision.grant and decision.grant.id}


def starlette_app(verifier: Verifier, **options: Any) -> GuardedApp:
    guarded = GuardedApp(lambda: None)

    async def view(request: Request) -> JSONResponse:
        guarded.reached.append(request.method)
        return JSONResponse(_said(request.scope["gatepass"]))

    routes = [
        Route("/charges", view, methods=["POST", "OPTIONS"]),
        Route("/charges/{id}", view),
        Route("/charges/{id}/payout", view, methods=["POST"]),
        Route("/health", view),
        Route("/forgotten", view),
    ]
    options = {"permissions": PERMISSIONS, "exempt": EXEMPT, **options}
    guarded.call = asgi_call(asgi.GatepassMiddleware(Starlette(routes=routes), verifier, **options))
    return guarded


def fastapi_app(verifier: Verifier, **options: Any) -> GuardedApp:
    guard = Guard(verifier, **options)
    app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)
    guarded = GuardedApp(asgi_call(app))

    @app.post("/charges")
    async def create(
        request: Request, decision: Annotated[Decision, Depends(guard.requires("charges:create"))]
    ) -> Any:
        guarded.reached.append(request.method)
        assert request.scope["gatepass"] is decision
        return _said(decision)

    @app.api_route("/charges/{id}", methods=["GET", "HEAD"])
    def get(
        request: Request, decision: Annotated[Decision, Depends(guard.requires("charges:get"))]
    ) -> Any:
        guarded.reached.append(request.method)
        return _said(decision)

    @app.post("/charges/{id}/payout", dependencies=[Depends(guard.requires("payouts:create"))])
    def payout(request: Request) -> Any:
        guarded.reached.append(request.method)

    @app.get("/health", dependencies=[Depends(guard.exempt)])
    def health(request: Request) -> Any:
        guarded.reached.append(request.method)
        return _said(None)

    @app.get("/forgotten")
    def forgotten(request: Request) -> Any:
        guarded.reached.append(request.method)

    return guarded


def flask_app(
    verifier: Verifier, *, environ: dict[str, Any] | None = None, **options: Any
) -> GuardedApp:
    app = flask.Flask("shop")
    guarded = GuardedApp(lambda: None)

    def view(**_: str) -> Any:
        guarded.reached.append(flask.request.method)
        return _said(flask.request.environ["gatepass.decision"])

    app.add_url_rule("/charges", view_func=view, methods=["POST", "OPTIONS"])
    app.add_url_rule("/charges/<id>", view_func=view)
    app.add_url_rule("/charges/<id>/payout", view_func=view, methods=["POST"])
    app.add_url_rule("/health", view_func=view)
    app.add_url_rule("/forgotten", view_func=view)
    options = {"permissions": PERMISSIONS, "exempt": EXEMPT, **options}
    app.wsgi_app = wsgi.GatepassMiddleware(  # type: ignore[method-assign] - as Flask says to do
        app.wsgi_app, verifier, **options
    )
    guarded.call = wsgi_call(app, **(environ or {}))
    return guarded


def flask_app_without_target(verifier: Verifier, **options: Any) -> GuardedApp:
    """On a server that passes only the decoded path."""
    return flask_app(verifier, environ={"RAW_URI": None}, **options)


def _django_settings(verifier: Verifier, options: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {name.upper(): value for name, value in options.items()}
    return {"VERIFIER": lambda: verifier, **more, **said}


class DjangoApp(GuardedApp):
    """A Django site whose settings hold for its own calls only."""

    def __init__(
        self, handler: Any, caller: Callable[..., Any], patterns: list[Any], gatepass: Any
    ) -> None:
        urls = types.ModuleType("urls")
        urls.__dict__["urlpatterns"] = patterns
        site = {"ROOT_URLCONF": urls, "MIDDLEWARE": MIDDLEWARE, "GATEPASS": gatepass}
        with override_settings(**site):
            app = handler()
            if isinstance(app, ASGIHandler):
                app.load_middleware(is_async=True)

        def call(*what: Any, **how: Any) -> Answer:
            with override_settings(**site):
                answer: Answer = caller(app)(*what, **how)
                return answer

        super().__init__(call)


@contextmanager
def django_site(
    gatepass: dict[str, Any],
    *patterns: Any,
    middleware: list[str] = MIDDLEWARE,
    asynchronous: bool = False,
    environ: dict[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Callable[..., Answer]]:
    """A Django site; yields its caller."""
    urls = types.ModuleType("urls")
    urls.__dict__["urlpatterns"] = list(patterns)
    with override_settings(GATEPASS=gatepass, ROOT_URLCONF=urls, MIDDLEWARE=middleware, **settings):
        if asynchronous:
            yield asgi_call(ASGIHandler(), **(environ or {}))
        else:
            yield wsgi_call(WSGIHandler(), **(environ or {}))


def _django_by_routes(handler: Any, caller: Callable[..., Any]) -> Callable[..., GuardedApp]:
    def guarded(verifier: Verifier, **options: Any) -> GuardedApp:
        def view(request: Any, **_: str) -> Any:
            made.reached.append(request.method)
            return JsonResponse(_said(request.gatepass))

        async def view_later(request: Any, **_: str) -> Any:
            return view(request)

        any_view = view_later if handler is ASGIHandler else view
        names = ["charges", "charges/<id>", "charges/<id>/payout", "health", "forgotten"]
        patterns = [path(name, any_view) for name in names]
        named: dict[str, Any] = {"PERMISSIONS": PERMISSIONS, "EXEMPT": EXEMPT}
        if "catalogue" in options:
            del named["PERMISSIONS"]
        made = DjangoApp(handler, caller, patterns, _django_settings(verifier, options, **named))
        return made

    return guarded


def _django_by_views(handler: Any, caller: Callable[..., Any]) -> Callable[..., GuardedApp]:
    later = handler is ASGIHandler

    def guarded(verifier: Verifier, **options: Any) -> GuardedApp:
        def view(request: Any, **_: str) -> Any:
            made.reached.append(request.method)
            return JsonResponse(_said(request.gatepass))

        def one() -> Any:
            # A new function each time, because a decorator marks its argument.
            if later:

                async def single_later(request: Any, **_: str) -> Any:
                    return view(request)

                return single_later

            def single(request: Any, **_: str) -> Any:
                return view(request)

            return single

        class Charges(View):
            if later:

                @requires("charges:create")
                async def post(self, request: Any) -> Any:
                    return view(request)
            else:

                @requires("charges:create")
                def post(self, request: Any) -> Any:
                    return view(request)

        @requires("payouts:create")
        class Payout(View):
            if later:

                async def post(self, request: Any, id: str) -> Any:
                    return view(request)
            else:

                def post(self, request: Any, id: str) -> Any:
                    return view(request)

        patterns = [
            path("charges", Charges.as_view()),
            path("charges/<id>", requires("charges:get")(one())),
            path("charges/<id>/payout", Payout.as_view()),
            path("health", exempt(one())),
            path("forgotten", one()),
        ]
        made = DjangoApp(handler, caller, patterns, _django_settings(verifier, options))
        return made

    return guarded


#: Applications guarded by method and path, before their own code runs.
BY_ROUTES: dict[str, Callable[..., GuardedApp]] = {
    "starlette": starlette_app,
    "flask": flask_app,
    "flask without target": flask_app_without_target,
    "django wsgi": _django_by_routes(WSGIHandler, wsgi_call),
    "django asgi": _django_by_routes(ASGIHandler, asgi_call),
}
#: Applications whose views declare what they need.
BY_VIEWS: dict[str, Callable[..., GuardedApp]] = {
    "fastapi": fastapi_app,
    "django views wsgi": _django_by_views(WSGIHandler, wsgi_call),
    "django views asgi": _django_by_views(ASGIHandler, asgi_call),
}
GUARDED_APPS = {**BY_ROUTES, **BY_VIEWS}
