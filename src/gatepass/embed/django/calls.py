"""Decides Django requests. A refusal is the response to answer with; None means "not refused"."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from django.http import HttpRequest, HttpResponse

from gatepass.core.decision import Decision, Reason
from gatepass.embed.asgi import asgi_peer
from gatepass.embed.django.settings import gatepass
from gatepass.embed.gate import RouteGate
from gatepass.embed.paths import asgi_target, path_below, wsgi_target
from gatepass.embed.refusal import Refusal
from gatepass.embed.streams import AsyncStream, Stream
from gatepass.verify.http.header_lines import Lines, asgi_lines, wsgi_lines


@dataclass(frozen=True)
class Read:
    """The parts of a request that a decision needs.

    Attributes:
        path: None where it is ambiguous.
    """

    method: str
    path: str | None
    lines: Lines
    peer: str | None

    @classmethod
    def of(cls, request: HttpRequest) -> "Read":
        """Read the values that the server passed, which Django may have changed since."""
        scope = getattr(request, "scope", None)
        if scope is None:
            environ = request.META
            method, target = environ.get("REQUEST_METHOD", ""), wsgi_target(environ)
            lines, peer = wsgi_lines(environ), environ.get("REMOTE_ADDR")
        else:
            method, target = scope["method"], asgi_target(scope)
            lines, peer = asgi_lines(scope), asgi_peer(scope)
        # Django's own path, by which it resolves the view.
        path = path_below(request.META.get("SCRIPT_NAME", ""), request.path_info, target)
        return cls(method, path, lines, peer)


def refused_by_route(request: HttpRequest, gate: RouteGate, read: Read) -> HttpResponse | None:
    """Decide by method and path."""
    return _response(
        request,
        gate.retry(lambda: gate.admit(read.method, read.path, read.lines, read.peer)),
    )


def refused_if_overridden(
    request: HttpRequest, gate: RouteGate, decided: tuple[str, str] | None
) -> HttpResponse | None:
    """Decide again if middleware has changed the method or path that were *decided* on.

    Otherwise a caller with read permission could write, by a header that overrides the method.
    """
    if decided == (request.method, request.path_info):
        return None
    path = path_below("", request.path_info, None)
    return refused_by_route(
        request, gate, replace(Read.of(request), method=request.method, path=path)
    )


def refused_by_permission(request: HttpRequest, permission: str) -> HttpResponse | None:
    """Decide by a permission that a view requires."""
    if any(permission in decision.needed for decision in _decisions(request)):
        return None  # Already decided: one call counts as one use.
    read, gate = Read.of(request), gatepass().gate
    return _response(
        request,
        gate.retry(lambda: gate.judge(read.lines, read.peer, permission=permission)),
    )


def refused_as_unknown(request: HttpRequest) -> HttpResponse | None:
    """Decide for a view without a permission: never "allowed"."""
    read, gate = Read.of(request), gatepass().gate
    return _response(
        request,
        gate.retry(lambda: gate.judge(read.lines, read.peer, route=Reason.route_unknown)),
    )


def end_with_call(request: HttpRequest, response: HttpResponse) -> None:
    """Break a streaming response off when its call would no longer be allowed."""
    decisions = _decisions(request)
    served_async = hasattr(request, "scope")
    # Django first collects all parts of a stream of the other kind.
    if not response.streaming or not decisions or response.is_async != served_async:
        return
    stream = AsyncStream if served_async else Stream
    response.streaming_content = stream(
        response.streaming_content, gatepass().gate.verifier, decisions
    )


async def refused_async(decide: Callable[[], HttpResponse | None]) -> HttpResponse | None:
    """*decide* for asynchronous requests: doesn't block the event loop for a first copy."""
    refusal = decide()
    if refusal is not None and refusal.status_code == 503 and await gatepass().gate.wait_for_copy():
        refusal = decide()
    return refusal


def _response(request: HttpRequest, outcome: Decision | Refusal | None) -> HttpResponse | None:
    if isinstance(outcome, Refusal):
        body = outcome.body
        headers = {**dict(outcome.headers), "content-length": str(len(body))}
        return HttpResponse(body, status=outcome.status, headers=headers)
    if outcome is not None:
        request.gatepass = outcome
        _decisions(request).append(outcome)
    return None


def _decisions(request: HttpRequest) -> list[Decision]:
    """The decisions that allowed this request."""
    decisions: list[Decision] = request.__dict__.setdefault("_gatepass_decisions", [])
    return decisions
