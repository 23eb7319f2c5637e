"""Django REST framework: views, ViewSets, functions, and what it answers by itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from django.http import HttpResponse
from django.urls import include, path
from django.utils.decorators import method_decorator

from gatepass import Verifier
from tests.support.apps.framework_apps import MIDDLEWARE, PERMISSIONS, django_site
from tests.support.grants.grant_file_fixture import Grants

from gatepass.embed.django import exempt, requires  # isort: skip - after Django was set up
from rest_framework.decorators import action, api_view, permission_classes  # isort: skip
from rest_framework.permissions import AllowAny  # isort: skip
from rest_framework.response import Response  # isort: skip
from rest_framework.routers import DefaultRouter, SimpleRouter  # isort: skip
from rest_framework.views import APIView  # isort: skip
from rest_framework.viewsets import ViewSet  # isort: skip

BOTH = pytest.mark.parametrize("asynchronous", [False, True])
EITHER = pytest.mark.parametrize("middleware", [[], MIDDLEWARE])


@pytest.fixture
def gatepass(verifier: Verifier) -> dict[str, Any]:
    return {"VERIFIER": lambda: verifier}


@pytest.fixture
def reached() -> Iterator[list[str]]:
    REACHED.clear()
    yield REACHED
    REACHED.clear()


#: What got through to a view, as it calls itself.
REACHED: list[str] = []


def seen(what: str, request: Any) -> Response:
    assert request.gatepass.allowed
    REACHED.append(what)
    return Response({"seen": what})


def reader(grants: Grants) -> list[tuple[str, str]]:
    return [("x-access-token", grants.token(permissions=frozenset({"charges:get"})))]


def writer(grants: Grants) -> list[tuple[str, str]]:
    return [("x-access-token", grants.token(permissions=frozenset({"charges:create"})))]


# --- functions ------------------------------------------------------------------------------------


@BOTH
@EITHER
def test_a_function_is_guarded_inside_and_outside_api_view(
    middleware: list[str],
    asynchronous: bool,
    gatepass: dict[str, Any],
    grants: Grants,
    reached: list[str],
) -> None:
    @api_view(["GET", "POST"])
    @permission_classes([AllowAny])
    @requires("charges:get")
    def inside(request: Any) -> Response:
        return seen("inside", request)

    @requires("charges:get")
    @api_view(["GET", "POST"])
    def outside(request: Any) -> Response:
        return seen("outside", request)

    @requires("charges:create")
    @api_view(["GET"])
    @requires("charges:get")
    def twice(request: Any) -> Response:
        return seen("twice", request)

    patterns = [path("inside", inside), path("outside", outside), path("twice", twice)]
    with django_site(gatepass, *patterns, middleware=middleware, asynchronous=asynchronous) as call:
        for name in ("inside", "outside"):
            for method in ("GET", "POST"):
                answer = call(method, f"/{name}", reader(grants))
                assert (answer.status, answer.json) == (200, {"seen": name})
                assert call(method, f"/{name}", writer(grants)).outcome == "permission_missing"
                refused = call(method, f"/{name}")
                assert refused.outcome == "token_missing"
                assert refused.header("www-authenticate") == 'Bearer realm="gatepass"'
                assert refused.header("content-type") == "application/problem+json"
            assert call("HEAD", f"/{name}").status in (401, 405)
        assert call("GET", "/twice", reader(grants)).outcome == "permission_missing"
        assert call("GET", "/twice", writer(grants)).outcome == "permission_missing"
    assert set(reached) == {"inside", "outside"}


@BOTH
def test_what_the_framework_answers_itself_is_decided_too(
    asynchronous: bool, gatepass: dict[str, Any], grants: Grants, reached: list[str]
) -> None:
    """OPTIONS is answered with a view's description and its fields, by no function of ours."""

    @api_view(["GET"])
    @requires("charges:get")
    def inside(request: Any) -> Response:
        """SECRET"""
        return seen("inside", request)

    @requires("charges:get")
    class Whole(APIView):
        """SECRET"""

        def get(self, request: Any) -> Response:
            return seen("whole", request)

    class ByMethod(APIView):
        """SECRET"""

        @requires("charges:get")
        def get(self, request: Any) -> Response:
            return seen("method", request)

    @method_decorator(requires("charges:get"), name="options")
    class Described(ByMethod):
        """SECRET"""

    class Set(ViewSet):
        """SECRET"""

        @requires("charges:get")
        def list(self, request: Any) -> Response:
            return seen("set", request)

    router = DefaultRouter()
    router.register("set", Set, basename="set")
    patterns = [
        path("inside", inside),
        path("whole", Whole.as_view()),
        path("method", ByMethod.as_view()),
        path("described", Described.as_view()),
        path("", include(router.urls)),
    ]
    with django_site(gatepass, *patterns, asynchronous=asynchronous) as call:
        for target in ("/inside", "/whole", "/method", "/described", "/set/", "/"):
            for method in ("OPTIONS", "TRACE", "PUT", "PROPFIND"):
                assert call(method, target).outcome == "token_missing", (method, target)
            known = "allowed" if target in ("/whole", "/described") else "route_unknown"
            assert call("OPTIONS", target, reader(grants)).outcome == known, target
            answer = call("OPTIONS", target, writer(grants))
            assert answer.status == 403
            assert b"SECRET" not in answer.body
            answer = call("DELETE", target, reader(grants))
            assert answer.status in (403, 405)
        for target in ("/inside", "/whole", "/method", "/described", "/set/"):
            assert call("HEAD", target).status == 401
        assert call("GET", "/", reader(grants)).outcome == "route_unknown"
    assert reached == []


# --- classes --------------------------------------------------------------------------------------


@BOTH
@EITHER
def test_a_view_is_guarded_whole_or_by_method(
    middleware: list[str],
    asynchronous: bool,
    gatepass: dict[str, Any],
    grants: Grants,
    reached: list[str],
) -> None:
    @requires("charges:get")
    class Whole(APIView):
        def get(self, request: Any) -> Response:
            return seen("whole", request)

        @requires("charges:create")
        def post(self, request: Any) -> Response:
            return seen("whole post", request)

    class ByMethod(APIView):
        @requires("charges:get")
        def get(self, request: Any) -> Response:
            return seen("get", request)

        @requires("charges:create")
        def post(self, request: Any) -> Response:
            return seen("post", request)

    patterns = [path("whole", Whole.as_view()), path("method", ByMethod.as_view())]
    with django_site(gatepass, *patterns, middleware=middleware, asynchronous=asynchronous) as call:
        for target in ("/whole", "/method"):
            assert call("GET", target, reader(grants)).status == 200
            assert call("HEAD", target, reader(grants)).status in (200, 405)
            assert call("GET", target, writer(grants)).outcome == "permission_missing"
            assert call("POST", target, reader(grants)).outcome == "permission_missing"
            assert call("GET", target).outcome == "token_missing"
            assert call("POST", target).outcome == "token_missing"
        assert call("POST", "/method", writer(grants)).status == 200
        assert call("POST", "/whole", writer(grants)).outcome == "permission_missing"
        both = [("x-access-token", grants.token())]
        assert call("POST", "/whole", both).status == 200


class Listing:
    """What a generic set of views brings along, undecorated."""

    def list(self, request: Any) -> Response:
        return seen("list", request)

    def destroy(self, request: Any, pk: str) -> Response:
        return seen("destroy", request)


@method_decorator(requires("charges:get"), name="list")
class Charges(Listing, ViewSet):
    @requires("charges:get")
    def retrieve(self, request: Any, pk: str) -> Response:
        return seen("retrieve", request)

    @requires("charges:create")
    def create(self, request: Any) -> Response:
        return seen("create", request)

    @action(detail=True, methods=["post"])
    @requires("charges:create")
    def payout(self, request: Any, pk: str) -> Response:
        return seen("payout", request)

    @payout.mapping.delete
    def undo(self, request: Any, pk: str) -> Response:
        return seen("undo", request)

    @requires("charges:get")
    @action(detail=False)
    def latest(self, request: Any) -> Response:
        return seen("latest", request)

    @action(detail=False)
    @exempt
    def health(self, request: Any) -> HttpResponse:
        return HttpResponse("well")


@BOTH
def test_reading_and_writing_of_a_set_of_views_are_told_apart(
    asynchronous: bool, gatepass: dict[str, Any], grants: Grants, reached: list[str]
) -> None:
    router = SimpleRouter()
    router.register("charges", Charges, basename="charge")
    with django_site(
        gatepass, path("v1/", include(router.urls)), asynchronous=asynchronous
    ) as call:
        reads = [("GET", "/v1/charges/"), ("GET", "/v1/charges/1/"), ("GET", "/v1/charges/latest/")]
        writes = [("POST", "/v1/charges/"), ("POST", "/v1/charges/1/payout/")]
        for method, target in reads:
            assert call(method, target, reader(grants)).status == 200
            assert call(method, target, writer(grants)).outcome == "permission_missing"
            assert call("HEAD", target, reader(grants)).status == 200
            assert call("HEAD", target, writer(grants)).status == 403
        for method, target in writes:
            assert call(method, target, writer(grants)).status == 200
            assert call(method, target, reader(grants)).outcome == "permission_missing"
        for method, target in reads + writes:
            assert call(method, target).outcome == "token_missing"
        every = [("x-access-token", grants.token())]
        before = list(reached)
        for method, target in (
            ("DELETE", "/v1/charges/1/"),
            ("DELETE", "/v1/charges/1/payout/"),
            ("PUT", "/v1/charges/1/"),
            ("GET", "/v1/charges/1/payout/"),
            ("OPTIONS", "/v1/charges/"),
        ):
            assert call(method, target, every).outcome == "route_unknown", (method, target)
        assert reached == before
        assert call("GET", "/v1/charges/health/").body == b"well"


@EITHER
def test_a_set_that_requires_something_whole_requires_it_of_every_action(
    middleware: list[str], gatepass: dict[str, Any], grants: Grants, reached: list[str]
) -> None:
    @requires("charges:get")
    class Set(Listing, ViewSet):
        @requires("charges:create")
        def create(self, request: Any) -> Response:
            return seen("create", request)

    router = SimpleRouter()
    router.register("charges", Set, basename="charge")
    with django_site(gatepass, *router.urls, middleware=middleware) as call:
        assert call("GET", "/charges/", reader(grants)).status == 200
        assert call("OPTIONS", "/charges/", reader(grants)).status == 200
        assert call("DELETE", "/charges/1/", reader(grants)).status == 200
        for method in ("GET", "POST", "OPTIONS", "PUT"):
            assert call(method, "/charges/").outcome == "token_missing"
            assert call(method, "/charges/", writer(grants)).outcome == "permission_missing"
        assert call("POST", "/charges/", reader(grants)).outcome == "permission_missing"
        assert call("POST", "/charges/", [("x-access-token", grants.token())]).status == 200


@pytest.mark.parametrize("middleware", [MIDDLEWARE])
def test_routes_in_the_settings_serve_as_well(
    middleware: list[str], gatepass: dict[str, Any], grants: Grants, reached: list[str]
) -> None:
    @api_view(["GET"])
    def charge(request: Any, id: str) -> Response:
        return seen("charge", request)

    routes = {**gatepass, "PERMISSIONS": PERMISSIONS}
    with django_site(routes, path("charges/<id>", charge), middleware=middleware) as call:
        assert call("GET", "/charges/1", reader(grants)).status == 200
        assert call("GET", "/charges/1", writer(grants)).outcome == "permission_missing"
        assert call("OPTIONS", "/charges/1", reader(grants)).outcome == "route_unknown"


def test_a_call_counts_once_and_the_decision_is_the_frameworks_request_s_too(
    gatepass: dict[str, Any],
    verifier: Verifier,
    grants: Grants,
    reached: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: list[str] = []

    class Counter:
        def note(self, decision: Any, now: int) -> None:
            noted.append(decision.reason.value)

    monkeypatch.setattr(verifier, "usage", Counter())
    router = SimpleRouter()
    router.register("charges", Charges, basename="charge")
    for middleware in ([], MIDDLEWARE):
        with django_site(gatepass, *router.urls, middleware=middleware) as call:
            assert call("GET", "/charges/1/", reader(grants)).status == 200
    assert noted == ["allowed"] * 2


def test_what_the_documentation_shows_is_guarded_as_it_says(
    gatepass: dict[str, Any], grants: Grants
) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/embed/django.md").read_text()
    (shown,) = (code for code in re.findall(r"```py\n(.*?)```", page, re.S) if "ViewSet" in code)
    names: dict[str, Any] = {
        "__name__": "shown",
        "Charge": MagicMock(),
        "ChargeSerializer": None,
    }
    exec(shown, names)
    router = SimpleRouter()
    router.register("charges", names["Charges"], basename="charge")
    patterns = [*router.urls, path("charge/<id>", names["charge"])]
    nobody = [("x-access-token", grants.token(permissions=frozenset({"other:get"})))]
    with django_site(gatepass, *patterns) as call:
        label = call("GET", "/charge/1", reader(grants)).json
        assert label == {"asked_by": "a test's"}
        for method, target, needed in (
            ("GET", "/charge/1", "charges:get"),
            ("GET", "/charges/", "charges:search"),
            ("GET", "/charges/1/", "charges:get"),
            ("POST", "/charges/", "charges:create"),
            ("POST", "/charges/1/payout/", "payouts:create"),
        ):
            refused = call(method, target, nobody)
            assert refused.outcome == "permission_missing"
            assert needed in (refused.header("www-authenticate") or "")
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
            assert call(method, "/charges/1/", nobody).outcome == "route_unknown"
