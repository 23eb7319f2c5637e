"""Dependencies for FastAPI: each route names the permission it needs.

::

    guard = Guard(verifier)
    app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)

    @app.get("/charges/{id}")
    def charge(id: str, decision: Annotated[Decision, Depends(guard.requires("charges:get"))]): ...

``Depends(guard)`` on the application refuses every route that names none. FastAPI has found the
route by then, so the guard doesn't parse the path. Dependencies don't cover mounted applications,
static files and FastAPI's own documentation pages: use the middleware,
``gatepass.GatepassMiddleware``, to guard a whole application.

A WebSocket or a streaming answer ends when a call that was decided for it would no longer be
allowed (``asgi_connection``).
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial, update_wrapper
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from gatepass.core.decision import Decision, Reason
from gatepass.core.networks import Network
from gatepass.embed.asgi import asgi_peer
from gatepass.embed.asgi_connection import GuardedConnection
from gatepass.embed.gate import Gate, VerifierSource, require_permission
from gatepass.embed.refusal import Refusal
from gatepass.embed.subprotocols import accepting, offered_beside_token, without_token
from gatepass.verify.http.header_lines import asgi_lines
from gatepass.verify.verifier import Verifier

# Attribute of a WebSocket, not of its scope: the header lines with the token.
_ORIGINAL_LINES = "_gatepass_lines"
# Entry of a scope: the connection that ends when a decided call is no longer allowed.
_CONNECTION = "gatepass.connection"


class Refused(HTTPException):
    """A refused call. Without its handler FastAPI still answers with the right status and headers.

    Attributes:
        refusal: the complete answer.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, refusal.detail, dict(refusal.headers))
        self.refusal = refusal


class Guard:
    """Guards routes. As a dependency itself, refuses unguarded routes.

    Args:
        verifier: decides (``open_verifier``, ``Verifier.follow``); or a function that opens it,
            called once, when it is first needed.
        trusted_proxies: networks whose X-Forwarded-For is trusted, and ``unix:`` for a peer on a
            Unix socket. None by default.

    Attributes:
        exception_handlers: for ``FastAPI(exception_handlers=…)``. Refusals are then problem
            documents (RFC 9457), as with the middleware.

    Raises:
        InvalidNetwork: one of *trusted_proxies* is invalid.
    """

    def __init__(
        self, verifier: VerifierSource, *, trusted_proxies: Iterable[str | Network] = ()
    ) -> None:
        self._gate = Gate(verifier, trusted_proxies)
        _end_refused_connections()
        self._requirements: dict[str, Requirement] = {}
        self.exception_handlers: dict[int | type[Exception], Any] = {Refused: _answer}

    @property
    def verifier(self) -> Verifier:
        """The verifier, opened if it isn't yet. Tests may set another."""
        return self._gate.verifier

    @verifier.setter
    def verifier(self, verifier: Verifier) -> None:
        self._gate.verifier = verifier

    def requires(self, permission: str) -> "Requirement":
        """A dependency that refuses calls without *permission*; its value is the Decision.

        Raises:
            Misconfigured: *permission* isn't ``resource:action``.
        """
        # One object for each permission, so that FastAPI calls it once a request.
        return self._requirements.setdefault(permission, Requirement(self._gate, permission))

    async def exempt(self) -> None:
        """A dependency that marks a route as needing no token."""

    async def __call__(self, connection: HTTPConnection) -> None:
        """Refuse a route that neither requires a permission of this guard nor is exempt."""
        _hide_token(connection)
        for dependency in _dependencies(connection.scope):
            if dependency == self.exempt or (
                isinstance(dependency, Requirement) and dependency.gate is self._gate
            ):
                return
        await _judge(self._gate, connection, route=Reason.route_unknown)


class Requirement(SecurityBase):
    """A permission that a route needs, as a dependency (``Guard.requires``)."""

    def __init__(self, gate: Gate, permission: str) -> None:
        self.gate = gate
        self.permission = require_permission(permission)
        # For the OpenAPI description; x-access-token is read as well.
        self.model = HTTPBearer(description="A Gatepass access token.")
        self.scheme_name = "Gatepass"

    async def __call__(self, connection: HTTPConnection) -> Decision:
        """Decide, on the event loop: it takes microseconds."""
        return await _judge(self.gate, connection, permission=self.permission)


async def _judge(gate: Gate, connection: HTTPConnection, **what: Any) -> Decision:
    _hide_token(connection)
    scope, handshake = connection.scope, isinstance(connection, WebSocket)
    lines = connection.__dict__.get(_ORIGINAL_LINES) or asgi_lines(scope)
    outcome = await gate.retry_async(
        lambda: gate.judge(lines, asgi_peer(scope), handshake=handshake, **what)
    )
    if isinstance(outcome, Refusal):
        if handshake:
            raise WebSocketException(outcome.close_code, outcome.reason)
        raise Refused(outcome)
    scope["gatepass"] = outcome
    open_connection = scope.get(_CONNECTION)
    if open_connection is not None:
        open_connection.decided(gate.verifier, outcome)
    return outcome


def _end_refused_connections() -> None:
    """Serve every FastAPI application through ``GuardedConnection``.

    FastAPI hands an answer to the server past the dependencies. None of its extension points is
    both there without a line in the application, which could be forgotten, and around the answer.
    So the class's entry point is wrapped, when the first guard is made.
    """
    serve = FastAPI.__call__
    if getattr(serve, _CONNECTION, False):
        return

    async def serve_guarded(app: FastAPI, scope: Any, receive: Any, send: Any) -> None:
        # A mounted application is part of the one around it.
        if scope["type"] not in ("http", "websocket") or _CONNECTION in scope:
            await serve(app, scope, receive, send)
            return
        connection = scope[_CONNECTION] = GuardedConnection(scope["type"], receive, send)
        await connection.serve(partial(serve, app, scope))

    update_wrapper(serve_guarded, serve)
    setattr(serve_guarded, _CONNECTION, True)
    FastAPI.__call__ = serve_guarded  # type: ignore[method-assign, assignment] # see above


def _hide_token(connection: HTTPConnection) -> None:
    """Hide a token among a WebSocket's sub-protocols from the route, and select a sub-protocol."""
    if not isinstance(connection, WebSocket):
        return
    own = offered_beside_token(connection.scope)
    if own is not None:
        # Kept for further decisions: a route may require several permissions.
        connection.__dict__[_ORIGINAL_LINES] = asgi_lines(connection.scope)
        connection.scope.update(without_token(connection.scope, own))
        # FastAPI has cached the headers.
        connection.__dict__.pop("_headers", None)
        connection._send = accepting(connection._send, own)


def _dependencies(scope: Mapping[str, Any]) -> Iterator[object]:
    """The dependencies of the current route, at any depth.

    None where they can't be determined; the route is then refused.
    """
    route = scope.get("route")
    # Newer versions keep an included router's additions in a context beside the route.
    context = scope.get("fastapi", {}).get("effective_route_context")
    if getattr(context, "original_route", None) is route:
        route = context
    dependant = getattr(route, "dependant", None)
    untried = [] if dependant is None else [dependant]
    while untried:
        dependant = untried.pop()
        yield dependant.call
        untried += dependant.dependencies


async def _answer(request: Request, refused: Refused) -> Response:
    refusal = refused.refusal
    return Response(refusal.body, refusal.status, dict(refusal.headers))
