"""The templates of routes, such as ``/v1/access-tokens/{id}``, in place of raw paths.

Templates are few, and contain nothing that a client sent.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import Scope


class RouteTemplates:
    """The templates of an application's routes.

    Args:
        routes: of the framework's application.

    Attributes:
        known: (method, template) of each, sorted.
    """

    def __init__(self, routes: Sequence[Any]) -> None:
        found = list(_templates(routes))
        # By identity: routes have no hash.
        self._by_route = {id(route): path for path, route in found}
        self.known = sorted(
            {(method, path) for path, route in found for method in route.methods or ()}
        )
        self._known = frozenset(self.known)

    def of(self, scope: Scope) -> tuple[str, str] | None:
        """Method and template of the route that answered a request; None if none did.

        Args:
            scope: of the request; the framework notes the route there.
        """
        path = self._by_route.get(id(scope.get("route")))
        which = None if path is None else (scope["method"], path)
        return which if which in self._known else None


def _templates(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, APIRoute]]:
    """The routes with the templates of their whole paths."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield prefix + route.path_format, route
        elif hasattr(route, "original_router"):
            more = prefix + route.include_context.prefix
            yield from _templates(route.original_router.routes, more)
