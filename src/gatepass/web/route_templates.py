"""The templates of routes, such as ``/v1/access-tokens/{id}``, in place of raw paths.

Templates are few, and contain nothing that a client sent.
"""

from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import Scope


class RouteTemplates:
    """The templates of an application's routes.

    Args:
        routes: of the framework's application.

    Attributes:
        known: (method, template) of each, sorted.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        found = [route for route in routes if isinstance(route, APIRoute)]
        # By identity: routes have no hash.
        self._by_route = {id(route): route.path_format for route in found}
        self.known = sorted(
            {(method, route.path_format) for route in found for method in route.methods or ()}
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
