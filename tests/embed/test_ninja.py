"""django-ninja: its operations, its routers, and what it serves by itself."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.urls import path

from gatepass import Misconfigured, Verifier
from tests.support.apps.framework_apps import MIDDLEWARE, django_site
from tests.support.grants.grant_file_fixture import Grants

from gatepass.embed.django import exempt, requires  # isort: skip - after Django was set up
from ninja import NinjaAPI, Router  # isort: skip
from ninja.decorators import decorate_view  # isort: skip

BOTH = pytest.mark.parametrize("asynchronous", [False, True])
EITHER = pytest.mark.parametrize("middleware", [[], MIDDLEWARE])


@pytest.fixture
def gatepass(verifier: Verifier) -> dict[str, Any]:
    return {"VERIFIER": lambda: verifier}


def holder(grants: Grants, *permissions: str) -> list[tuple[str, str]]:
    return [("x-access-token", grants.token(permissions=frozenset(permissions)))]


@BOTH
@EITHER
def test_operations_are_guarded_one_by_one(
    middleware: list[str], asynchronous: bool, gatepass: dict[str, Any], grants: Grants
) -> None:
    api = NinjaAPI(urls_namespace=f"{asynchronous}{middleware}")
    reached: list[str] = []

    @api.get("/charges/{id}")
    @requires("charges:get")
    def get(request: Any, id: int) -> Any:
        reached.append("get")
        return {"id": id, "token": request.gatepass.grant.id}

    @api.post("/charges/{id}")
    @requires("charges:create")
    async def post(request: Any, id: int) -> Any:
        reached.append("post")
        return {"id": id}

    @api.put("/charges/{id}")
    @decorate_view(requires("charges:create"))
    def put(request: Any, id: int) -> Any:
        reached.append("put")
        return {"id": id}

    @api.delete("/charges/{id}")
    def forgotten(request: Any, id: int) -> Any:
        reached.append("delete")

    router = Router()

    @router.api_operation(["GET", "PATCH"], "/latest")
    @requires("charges:get")
    def latest(request: Any) -> Any:
        reached.append("latest")
        return {"id": 9}

    api.add_router("/more", router)
    with django_site(
        gatepass, path("v1/", api.urls), middleware=middleware, asynchronous=asynchronous
    ) as call:
        reads, writes = holder(grants, "charges:get"), holder(grants, "charges:create")
        answer = call("GET", "/v1/charges/1", reads)
        assert answer.json == {"id": 1, "token": reads[0][1][:21]}
        assert call("GET", "/v1/more/latest", reads).json == {"id": 9}
        assert call("PATCH", "/v1/more/latest", reads).json == {"id": 9}
        for method in ("POST", "PUT"):
            assert call(method, "/v1/charges/1", writes).json == {"id": 1}
            assert call(method, "/v1/charges/1", reads).outcome == "permission_missing"
            assert call(method, "/v1/charges/1").outcome == "token_missing"
        assert reached == ["get", "latest", "latest", "post", "put"]
        assert call("GET", "/v1/charges/1", writes).outcome == "permission_missing"
        assert call("GET", "/v1/charges/1").outcome == "token_missing"
        assert call("GET", "/v1/more/latest").outcome == "token_missing"
        if middleware:
            for method in ("DELETE", "OPTIONS", "TRACE", "HEAD"):
                assert call(method, "/v1/charges/1", reads).status == 403
                assert call(method, "/v1/charges/1").status == 401
            for target in ("/v1/docs", "/v1/openapi.json"):
                assert call("GET", target, reads).outcome == "route_unknown"
        assert len(reached) == 5


def test_its_own_pages_may_be_exempt(gatepass: dict[str, Any]) -> None:
    api = NinjaAPI(urls_namespace="open", docs_decorator=exempt)

    @api.get("/health")
    @exempt
    def health(request: Any) -> HttpResponse:
        return HttpResponse("well")

    with django_site(gatepass, path("v1/", api.urls)) as call:
        assert call("GET", "/v1/openapi.json").status == 200
        assert call("GET", "/v1/health").body == b"well"


def test_a_decorator_that_would_guard_nothing_is_refused() -> None:
    """django-ninja calls the function that it was given, so a decorator above would never run."""
    api = NinjaAPI(urls_namespace="above")
    with pytest.raises(Misconfigured, match="below"):

        @requires("charges:get")
        @api.get("/charges")
        def charges(request: Any) -> Any:
            raise AssertionError


def test_what_the_documentation_shows_is_guarded_as_it_says(
    gatepass: dict[str, Any], grants: Grants
) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/embed/django.md").read_text()
    (shown,) = (code for code in re.findall(r"```py\n(.*?)```", page, re.S) if "ninja" in code)
    names: dict[str, Any] = {"__name__": "shown"}
    exec(shown, names)
    with django_site(gatepass, path("v1/", names["api"].urls)) as call:
        reads = holder(grants, "charges:get")
        assert call("GET", "/v1/charges/1", reads).json == {"asked_by": "a test's"}
        assert call("GET", "/v1/charges/1").outcome == "token_missing"
        assert call("GET", "/v1/openapi.json").status == 200
