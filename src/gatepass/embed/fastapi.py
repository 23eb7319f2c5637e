"""Dependencies for FastAPI: each route names the permission it needs.

::

    guard = Guard(verifier)
    app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)

    @app.get("/charges/{id}")
    def charge(id: str, decision: Annotated[Decision, Depends(guard.requires("charges:get"))]): ...

``Depends(guard)`` for the whole application refuses every route that names none. As FastAPI itself
has found the route by then, no path needs to be read a second time. What FastAPI's dependencies
don't reach (mounted applications, static files, its own pages of documentation) they can't guard:
for all of an application there is the middleware, ``gatepass.GatepassMiddleware``.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastapi import HTTPException, Request, Response, WebSocket, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from gatepass.core.decision import Decision, Reason
from gatepass.core.networks import Network
from gatepass.embed.asgi import asgi_lines, asgi_peer
from gatepass.embed.gate import Gate, named
from gatepass.embed.refusal import Refusal
from gatepass.embed.subprotocols import answering, offered_beside_token, without_token
from gatepass.verify.verifier import Verifier

# In a WebSocket, not in its scope: reads the header lines with the token.
_AS_IT_CAME = "_gatepass_lines"


class Refused(HTTPException):
    """A call that was refused. Without a handler of its own FastAPI still answers with the right
    status and headers.

    Attributes:
        refusal: the whole answer.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, refusal.detail, dict(refusal.headers))
        self.refusal = refusal


class Guard:
    """Guards routes; as a dependency itself, refuses those that aren't.

    Args:
        verifier: decides (``open_verifier``, ``Verifier.follow``).
        trusted_proxies: networks whose X-Forwarded-For is believed, and ``unix:`` for a peer on a
            Unix socket. Nobody's, unless said.

    Attributes:
        exception_handlers: for ``FastAPI(exception_handlers=…)``: refusals are then problem
            documents (RFC 9457), as those of the middleware are.

    Raises:
        InvalidNetwork: one of *trusted_proxies* is none.
    """

    def __init__(
        self, verifier: Verifier, *, trusted_proxies: Iterable[str | Network] = ()
    ) -> None:
        self._gate = Gate(verifier, trusted_proxies)
        self._requirements: dict[str, Requirement] = {}
        self.exception_handlers: dict[int | type[Exception], Any] = {Refused: _answer}

    def requires(self, permission: str) -> "Requirement":
        """A dependency that lets nobody pass who doesn't hold *permission*; it is the Decision.

        Raises:
            Misconfigured: *permission* isn't ``resource:action``.
        """
        # One and the same for one permission: FastAPI then asks it once a request.
        return self._requirements.setdefault(permission, Requirement(self._gate, permission))

    async def exempt(self) -> None:
        """A dependency that says: whoever calls this route needs no token."""

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
        self.permission = named(permission)
        # For the OpenAPI description; x-access-token is read as well.
        self.model = HTTPBearer(description="A Gatepass access token.")
        self.scheme_name = "Gatepass"

    async def __call__(self, connection: HTTPConnection) -> Decision:
        """Decide; runs where the event loop does, for it takes microseconds."""
        return await _judge(self.gate, connection, permission=self.permission)


async def _judge(gate: Gate, connection: HTTPConnection, **what: Any) -> Decision:
    _hide_token(connection)
    scope, handshake = connection.scope, isinstance(connection, WebSocket)
    lines = connection.__dict__.get(_AS_IT_CAME) or asgi_lines(scope)
    outcome = await gate.patiently_async(
        lambda: gate.judge(lines, asgi_peer(scope), handshake=handshake, **what)
    )
    if isinstance(outcome, Refusal):
        if handshake:
            raise WebSocketException(outcome.close_code, outcome.reason)
        raise Refused(outcome)
    scope["gatepass"] = outcome
    return outcome


def _hide_token(connection: HTTPConnection) -> None:
    """Take a token among a WebSocket's sub-protocols from what the route sees, and have one of them
    answered."""
    if not isinstance(connection, WebSocket):
        return
    own = offered_beside_token(connection.scope)
    if own is not None:
        # A route may require several permissions, and be decided as often.
        connection.__dict__[_AS_IT_CAME] = asgi_lines(connection.scope)
        connection.scope.update(without_token(connection.scope, own))
        # FastAPI has read the headers before.
        connection.__dict__.pop("_headers", None)
        connection._send = answering(connection._send, own)


def _dependencies(scope: Mapping[str, Any]) -> Iterator[object]:
    """What the route that FastAPI has chosen depends on, at any depth.

    Where this can't be told, nothing; the route is then refused.
    """
    route = scope.get("route")
    # Newer versions keep what an included router adds beside the route.
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
