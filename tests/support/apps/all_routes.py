"""Every route, read from the application itself, so that new routes are included."""

from typing import Any

from fastapi import APIRouter
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from gatepass.web import pages
from gatepass.web.api.router import router as api
from gatepass.web.openapi import openapi_document


def page_routes() -> list[tuple[str, str]]:
    """(method, path) of every page and form of the dashboard."""
    return sorted({(method, each.path) for each in _of(pages.router) for method in each.methods})


def routes() -> list[APIRoute]:
    """The framework's routes of the API and of the dashboard."""
    return [*_of(api), *_of(pages.router)]


def api_routes() -> list[tuple[str, APIRoute]]:
    """The routes of the API with their paths."""
    return [(route.path_format, route) for route in _of(api)]


def queries(route: APIRoute) -> list[str]:
    """The names of a route's query parameters."""
    fields = get_flat_params(route.dependant)
    return [each.alias for each in fields if isinstance(each.field_info, Query)]


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, description) of every operation of the OpenAPI document."""
    document = openapi_document(api, "gatepass", "https://gatepass.example")
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def _of(router: APIRouter) -> list[APIRoute]:
    return [route for route in router.routes if isinstance(route, APIRoute)]
