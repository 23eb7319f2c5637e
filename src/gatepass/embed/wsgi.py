"""Middleware that passes only allowed calls to a WSGI application, such as Flask's.

::

    app.wsgi_app = GatepassMiddleware(
        app.wsgi_app, verifier, permissions={"GET /charges/{id}": "charges:get"}
    )

It does the same as the ASGI middleware. The application finds the decision in
``environ["gatepass.decision"]`` (PEP 3333 wants a dot in the names of extensions); with Flask,
``request.environ["gatepass.decision"]``.

WSGI passes less of a request than ASGI, with these consequences:

* Servers join the lines of a repeated header by commas. A credential or an origin that was sent
  twice, even with the same value, is refused as garbage.
* Header names have underscores instead of hyphens, so a caller's ``X_Forwarded_For`` could pass for
  a trusted proxy's header. Gunicorn (from 22 on), Waitress, Werkzeug and Django's own server drop
  such names, and nginx does in front of any of them; Granian's WSGI, Hypercorn's and uWSGI don't.
* The path is decoded. Applications route on it, so the middleware matches it; where the server also
  passes the path as received (``RAW_URI``, ``REQUEST_URI``), the two must agree.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from gatepass.embed.cors import cors_headers, preflight_answer
from gatepass.embed.middleware import RouteMiddleware
from gatepass.embed.paths import wsgi_path
from gatepass.embed.refusal import Refusal
from gatepass.embed.streams import Stream
from gatepass.verify.http.header_lines import wsgi_lines

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class GatepassMiddleware(RouteMiddleware[WSGIApp]):
    """Guards a WSGI application.

    The arguments are those of ``RouteMiddleware``.
    """

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: refuse it, or pass it to the application with its decision."""
        method: str = environ["REQUEST_METHOD"]
        lines = wsgi_lines(environ)
        if self._cors:
            preflight = preflight_answer(method, lines, self._gate.methods)
            if preflight is not None:
                start_response(_status(204), preflight)
                return []
            start_response = _with_cors_headers(start_response)
        path, peer = wsgi_path(environ), environ.get("REMOTE_ADDR")
        outcome = self._gate.retry(lambda: self._gate.admit(method, path, lines, peer))
        if isinstance(outcome, Refusal):
            return _refuse(outcome, method, start_response)
        environ["gatepass.decision"] = outcome
        parts = self._app(environ, start_response)
        if outcome is None or isinstance(parts, list | tuple):
            return parts
        return Stream(parts, self.verifier, [outcome])


def _refuse(refusal: Refusal, method: str, start_response: StartResponse) -> list[bytes]:
    body = refusal.body
    headers = [*refusal.headers, ("content-length", str(len(body)))]
    start_response(_status(refusal.status), headers)
    return [] if method == "HEAD" else [body]


def _with_cors_headers(start_response: StartResponse) -> StartResponse:
    def start_with_headers(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        headers = [*headers, *cors_headers(name for name, _ in headers)]
        return start_response(status, headers, *more)

    return start_with_headers


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"
