"""How long answers of the framework take: pages and the REST API, by the template of the route.

Templates, methods and classes of statuses are few: a raw path would make a series for each token.
"""

import time
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.node_counters import Histogram
from gatepass.shared_words import Area
from gatepass.web.route_templates import RouteTemplates

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
        templates: of its routes.
        area: of ``NodeCounters.http_durations``.
    """

    def __init__(self, app: ASGIApp, templates: RouteTemplates, area: Area) -> None:
        self._app = app
        self._templates = templates
        self.histogram = Histogram(
            area,
            _BOUNDS_NS,
            [
                Answered(method, path, status)
                for method, path in ((_OTHER, _OTHER), *templates.known)
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
            which = self._templates.of(scope) or (_OTHER, _OTHER)
            answered = Answered(*which, _CLASSES[min(max(status // 100, 2), 5) - 2])
            self.histogram.observe(answered, time.perf_counter_ns() - began)
