"""Real applications behind a gateway: Django and Flask on the standard library's WSGI server."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from flask import Flask, jsonify, request

Environ = dict[str, Any]
WSGIApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass
class RecordedCalls:
    """Calls that reached the applications.

    Attributes:
        calls: the HTTP_ variables of each call.
    """

    port: int = 0
    calls: list[dict[str, str]] = field(default_factory=list)


class MethodOverride:
    """The method override from Flask's documentation, for all header names in use."""

    def __init__(self, app: WSGIApp) -> None:
        self._app = app

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        for name in ("X_HTTP_METHOD_OVERRIDE", "X_METHOD_OVERRIDE", "X_HTTP_METHOD"):
            environ["REQUEST_METHOD"] = environ.get(f"HTTP_{name}", environ["REQUEST_METHOD"])
        return self._app(environ, start_response)


def flask_app() -> WSGIApp:
    """A Flask application that lets a header change the method."""
    app = Flask("behind")

    @app.route("/<path:path>", methods=["GET", "POST", "DELETE"])
    def anything(path: str) -> Any:
        return jsonify(by="flask", method=request.method, path=f"/{path}")

    return MethodOverride(app.wsgi_app)


def django_app() -> WSGIApp:
    """A Django application with a function view, which answers any method."""
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, JsonResponse
    from django.test import override_settings
    from django.urls import re_path

    if not settings.configured:
        settings.configure()
        django.setup()
    # Another test in this process may have configured Django differently.
    own = override_settings(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[])

    def anything(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"by": "django", "method": request.method, "path": request.path})

    globals()["urlpatterns"] = [re_path("", anything)]
    with own:
        handler: WSGIApp = WSGIHandler()

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        with own:
            return handler(environ, start_response)

    return app


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def wsgi_server() -> Iterator[RecordedCalls]:
    """Serve both applications; the header X-Behind chooses one."""
    recorded = RecordedCalls()
    apps = {"flask": flask_app(), "django": django_app()}

    def choose(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        recorded.calls.append({k: v for k, v in environ.items() if k.startswith("HTTP_")})
        app = apps.get(environ.get("HTTP_X_BEHIND", ""))
        if app is None:
            start_response("404 Not Found", [("Content-Type", "application/json")])
            return [json.dumps({}).encode()]
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, choose, _Server, _Quiet)
    recorded.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield recorded
    server.shutdown()
