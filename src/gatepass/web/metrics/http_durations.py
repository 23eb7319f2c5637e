"""How long answers of the framework take: pages and the REST API, by the template of the route.

Templates, methods and classes of statuses are few. A raw path would make a series for each token,
and hold what people typed.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.node_counters import Histogram
from gatepass.shared_words import Area

_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
#: Upper bounds of the buckets.
_BOUNDS_NS: Final = tuple(
    1_000_000 * ms for ms in (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000)
)
#: Stands for the method and route of a request that no route answers.
_OTHER: Final = "other"


class Answered(NamedTuple):
    """The labels of a request."""

    method: str
    route: str
    status: str


class HttpDurations:
    """Times the requests that *app* answers, from its head to the end of the answer.

    Directly around the framework, which names the route in the request's scope.

    Args:
        app: the framework's application.
        routes: its routes.
        area: of ``NodeCounters.http_durations``.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[Any], area: Area) -> None:
        self._app = app
        # By identity: routes have no hash.
        self._templates = {id(route): path for path, route in _templates(routes)}
        known = sorted(
            {(method, path) for path, route in _templates(routes) for method in route.methods or ()}
        )
        self._known = frozenset(known)
        self.histogram = Histogram(
            area,
            _BOUNDS_NS,
            [
                Answered(method, path, status)
                for method, path in ((_OTHER, _OTHER), *known)
                for status in _CLASSES
            ],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter_ns()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            answered = self._answered(scope, status)
            self.histogram.observe(answered, time.perf_counter_ns() - began)

    def _answered(self, scope: Scope, status: int) -> Answered:
        which = scope["method"], self._templates.get(id(scope.get("route")), _OTHER)
        if which not in self._known:
            which = _OTHER, _OTHER
        return Answered(*which, _CLASSES[min(max(status // 100, 2), 5) - 2])


def _templates(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    """The routes with the templates of their whole paths."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield prefix + route.path_format, route
        elif hasattr(route, "original_router"):
            more = prefix + route.include_context.prefix
            yield from _templates(route.original_router.routes, more)
