"""A Django request as a call that is decided. A refusal is the response to answer with, and None
that there is nothing to refuse."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from django.http import HttpRequest, HttpResponse

from gatepass.core.decision import Decision, Reason
from gatepass.embed.asgi import asgi_lines, asgi_peer
from gatepass.embed.django.settings import gatepass
from gatepass.embed.gate import Lines, RouteGate
from gatepass.embed.paths import path_below, wsgi_target
from gatepass.embed.refusal import Refusal
from gatepass.embed.wsgi import wsgi_lines


@dataclass(frozen=True)
class Read:
    """What a request says.

    Attributes:
        path: None where it could be read in two ways.
    """

    method: str
    path: str | None
    lines: Lines
    peer: str | None

    @classmethod
    def of(cls, request: HttpRequest) -> "Read":
        """Read it from what the server passed on, where Django has changed it since."""
        scope = getattr(request, "scope", None)
        if scope is None:
            environ = request.META
            method, target = environ.get("REQUEST_METHOD", ""), wsgi_target(environ)
            lines, peer = wsgi_lines(environ), environ.get("REMOTE_ADDR")
        else:
            raw: bytes | None = scope.get("raw_path")
            method, target = scope["method"], None if raw is None else raw.decode("latin-1")
            lines, peer = asgi_lines(scope), asgi_peer(scope)
        # The path is Django's own: that is what it finds a view by.
        path = path_below(request.META.get("SCRIPT_NAME", ""), request.path_info, target)
        return cls(method, path, lines, peer)


def refused_by_route(request: HttpRequest, gate: RouteGate, read: Read) -> HttpResponse | None:
    """Decide by method and path."""
    return _taken(
        request,
        gate.patiently(lambda: gate.admit(read.method, read.path, read.lines, read.peer)),
    )


def refused_if_overridden(
    request: HttpRequest, gate: RouteGate, decided: tuple[str, str] | None
) -> HttpResponse | None:
    """Decide again where middleware has changed method or path since they were *decided* on.

    A caller that may read could write otherwise, by a header that overrides the method.
    """
    if decided == (request.method, request.path_info):
        return None
    path = path_below("", request.path_info, None)
    return refused_by_route(
        request, gate, replace(Read.of(request), method=request.method, path=path)
    )


def refused_by_permission(request: HttpRequest, permission: str) -> HttpResponse | None:
    """Decide by a permission that a view requires."""
    if permission in _held(request):
        return None  # Decided already: one call counts as one use.
    read, gate = Read.of(request), gatepass().gate
    return _taken(
        request,
        gate.patiently(lambda: gate.judge(read.lines, read.peer, permission=permission)),
    )


def refused_as_unknown(request: HttpRequest) -> HttpResponse | None:
    """Decide for a view that nobody named: never "allowed"."""
    read, gate = Read.of(request), gatepass().gate
    return _taken(
        request,
        gate.patiently(lambda: gate.judge(read.lines, read.peer, route=Reason.route_unknown)),
    )


async def refused_later(decide: Callable[[], HttpResponse | None]) -> HttpResponse | None:
    """*decide* where requests are asynchronous: the event loop doesn't wait for a first copy."""
    refusal = decide()
    if (
        refusal is not None
        and refusal.status_code == 503
        and await gatepass().gate.first_copy_arrives()
    ):
        refusal = decide()
    return refusal


def _taken(request: HttpRequest, outcome: Decision | Refusal | None) -> HttpResponse | None:
    if isinstance(outcome, Refusal):
        body = outcome.body
        headers = {**dict(outcome.headers), "content-length": str(len(body))}
        return HttpResponse(body, status=outcome.status, headers=headers)
    if outcome is not None:
        request.gatepass = outcome
        _held(request).update(outcome.needed)
    return None


def _held(request: HttpRequest) -> set[str]:
    """The permissions that this request was found to hold."""
    held: set[str] = request.__dict__.setdefault("_gatepass_held", set())
    return held
