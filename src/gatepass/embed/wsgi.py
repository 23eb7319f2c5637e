"""Middleware that lets a WSGI application, such as Flask's, see permitted calls only.

::

    app.wsgi_app = GatepassMiddleware(
        app.wsgi_app, verifier, permissions={"GET /charges/{id}": "charges:get"}
    )

It does what the ASGI middleware does. The application finds the decision in
``environ["gatepass.decision"]`` (PEP 3333 wants a dot in the names of extensions); with Flask,
``request.environ["gatepass.decision"]``.

WSGI tells less of a request than ASGI does, and here is what that means:

* Lines of one header arrive joined by commas. A credential or an origin that was sent twice, even
  twice the same, is garbage, and refused.
* Header names arrive with hyphens and underscores alike, so that a caller's ``X_Forwarded_For``
  could pass for a trusted proxy's header. Gunicorn (from 22 on), Waitress, Werkzeug and Django's
  own server drop such names, and nginx does in front of any; Granian's WSGI, Hypercorn's and
  uWSGI don't.
* The path arrives decoded. That is what applications route on, so it is what is matched; where the
  server also tells it as it came (``RAW_URI``, ``REQUEST_URI``), the two must agree.
"""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gatepass.core.catalogue import Catalogue
from gatepass.core.networks import Network
from gatepass.embed.cors import preflight_answer, readable_by_any_page
from gatepass.embed.gate import Lines, RouteGate
from gatepass.embed.paths import wsgi_path
from gatepass.embed.refusal import Refusal
from gatepass.verify.verifier import Verifier

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class GatepassMiddleware:
    """Guards *app*.

    Args:
        app: the application.
        verifier: decides (``open_verifier``, ``Verifier.follow``).
        permissions, catalogue, exempt, trusted_proxies, cors: as for the ASGI middleware,
            ``gatepass.GatepassMiddleware``.

    Raises:
        Misconfigured: not exactly one of *permissions* and *catalogue*, or the file can't be read.
        CatalogueError, RouteError, InvalidNetwork: what was given can't be used.
    """

    def __init__(
        self,
        app: WSGIApp,
        verifier: Verifier,
        *,
        permissions: Mapping[str, str] | None = None,
        catalogue: Catalogue | str | Path | None = None,
        exempt: Iterable[str] = (),
        trusted_proxies: Iterable[str | Network] = (),
        cors: bool = False,
    ) -> None:
        self._app = app
        self._gate = RouteGate(
            verifier,
            permissions=permissions,
            catalogue=catalogue,
            exempt=exempt,
            trusted_proxies=trusted_proxies,
        )
        self._cors = cors

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request: refuse it, or hand it to the application with its decision."""
        method: str = environ["REQUEST_METHOD"]
        lines = wsgi_lines(environ)
        if self._cors:
            preflight = preflight_answer(method, lines, self._gate.methods)
            if preflight is not None:
                start_response(_status(204), preflight)
                return []
            start_response = _readable_by_any_page(start_response)
        path, peer = wsgi_path(environ), environ.get("REMOTE_ADDR")
        outcome = self._gate.patiently(lambda: self._gate.admit(method, path, lines, peer))
        if isinstance(outcome, Refusal):
            return _refuse(outcome, method, start_response)
        environ["gatepass.decision"] = outcome
        return self._app(environ, start_response)


def wsgi_lines(environ: Mapping[str, Any]) -> Lines:
    """Reads the headers of a WSGI request, each of which is one line here at most."""

    def lines(name: str) -> list[str | None]:
        value: str | None = environ.get("HTTP_" + name.upper().replace("-", "_"))
        if value is None:
            return []
        return [value if value.isascii() else None]

    return lines


def _refuse(refusal: Refusal, method: str, start_response: StartResponse) -> list[bytes]:
    body = refusal.body
    headers = [*refusal.headers, ("content-length", str(len(body)))]
    start_response(_status(refusal.status), headers)
    return [] if method == "HEAD" else [body]


def _readable_by_any_page(start_response: StartResponse) -> StartResponse:
    def start_readable(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        readable = [*headers, *readable_by_any_page(name for name, _ in headers)]
        return start_response(status, readable, *more)

    return start_readable


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"
