"""Django middleware that passes only allowed calls to a view."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

from gatepass.embed.cors import cors_headers, preflight_answer
from gatepass.embed.django.calls import (
    Read,
    end_with_call,
    refused_as_unknown,
    refused_async,
    refused_by_permission,
    refused_by_route,
    refused_if_overridden,
)
from gatepass.embed.django.settings import gatepass
from gatepass.embed.django.views import is_exempt, needs_of
from gatepass.embed.gate import RouteGate

# Attribute of a request: the method and path that were decided on.
_DECIDED = "_gatepass_decided"
_REDIRECTS = 300


class GatepassMiddleware:
    """Passes only allowed calls. Should be the first middleware.

    Raises:
        Misconfigured, CatalogueError, RouteError, InvalidNetwork: ``settings.GATEPASS`` is invalid.
            Nothing is served then.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._awaited = iscoroutinefunction(get_response)
        # In asynchronous mode Django would run a synchronous function in a separate thread.
        self.process_view: Callable[..., Any] = self._view_refusal
        if self._awaited:
            markcoroutinefunction(self)
            self.process_view = self._view_refusal_async
        gatepass()

    def __call__(self, request: HttpRequest) -> Any:
        """The response to one request, or an awaitable of it."""
        if self._awaited:
            return self._answer_async(request)
        return self._answer(request) or _finished(request, self._get_response(request))

    async def _answer_async(self, request: HttpRequest) -> HttpResponse:
        answer = await refused_async(lambda: self._answer(request))
        return answer or _finished(request, await self._get_response(request))

    def _answer(self, request: HttpRequest) -> HttpResponse | None:
        """The response to a preflight or a refused request; None to pass the request on."""
        request.gatepass = None
        configured, read = gatepass(), Read.of(request)
        if configured.cors:
            headers = preflight_answer(read.method, read.lines, configured.gate.methods)
            if headers is not None:
                preflight = HttpResponse(status=204, headers=dict(headers))
                del preflight["content-type"]
                return preflight
        if not isinstance(configured.gate, RouteGate):
            return None
        refusal = refused_by_route(request, configured.gate, read)
        if refusal is not None:
            return _with_cors_headers(refusal)
        request.__dict__[_DECIDED] = (request.method, request.path_info)
        return None

    def _view_refusal(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Decide for the view before any of its decorators can answer, such as a cache."""
        gate = gatepass().gate
        if isinstance(gate, RouteGate):
            return refused_if_overridden(request, gate, request.__dict__.get(_DECIDED))
        request.__dict__[_DECIDED] = (request.method, request.path_info)
        needs = needs_of(view, request.method)
        for permission in needs:
            if (refusal := refused_by_permission(request, permission)) is not None:
                return refusal
        return None if needs or is_exempt(view, request.method) else refused_as_unknown(request)

    async def _view_refusal_async(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        return await refused_async(lambda: self._view_refusal(request, view, args, kwargs))


def _finished(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The inner response; a refusal instead of content that no view has returned."""
    if _DECIDED not in request.__dict__ and response.status_code < _REDIRECTS:
        # Another middleware answered, which has no permission to check.
        response = refused_as_unknown(request) or response
    end_with_call(request, response)
    return _with_cors_headers(response)


def _with_cors_headers(response: HttpResponse) -> HttpResponse:
    if gatepass().cors:
        for name, value in cors_headers(response.headers):
            response[name] = value
    return response
