"""What is particular to Django: settings, decorators, classes of views, paths as it reads them."""

import sys
import threading
import types
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test.utils import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt

from gatepass import Misconfigured, Verifier
from tests.support.apps.framework_apps import MIDDLEWARE, PERMISSIONS, django_site
from tests.support.concurrency import concurrently
from tests.support.grants.grant_file_fixture import Grants

from gatepass.embed.django import exempt, requires  # isort: skip - after Django was set up


@pytest.fixture
def gatepass(verifier: Verifier) -> dict[str, Any]:
    return {"VERIFIER": lambda: verifier}


@pytest.fixture
def lines(grants: Grants) -> list[tuple[str, str]]:
    return [("x-access-token", grants.token())]


def view(request: Any, **_: Any) -> HttpResponse:
    return HttpResponse("seen")


async def view_later(request: Any, **_: Any) -> HttpResponse:
    return HttpResponse("seen")


# --- views ----------------------------------------------------------------------------------------


def importable(monkeypatch: pytest.MonkeyPatch, middleware: Any) -> str:
    """The dotted name by which Django's settings find *middleware*."""
    module = types.ModuleType("middleware_of_a_test")
    module.__dict__["found"] = middleware
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return f"{module.__name__}.found"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "guarded", [requires("charges:get")(view), requires("charges:get")(view_later)]
)
def test_a_decorated_view_is_guarded_without_the_middleware_too(
    guarded: Any, asynchronous: bool, gatepass: dict[str, Any], lines: Any
) -> None:
    """Whatever the view and the server are: Django brings the two together."""
    for middleware in ([], MIDDLEWARE):
        with django_site(
            gatepass, path("x", guarded), middleware=middleware, asynchronous=asynchronous
        ) as call:
            assert call("GET", "/x", lines).body == b"seen"
            assert call("GET", "/x").outcome == "token_missing"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("middleware", [[], MIDDLEWARE])
def test_classes_of_views_are_guarded_whole_or_by_method(
    middleware: list[str], asynchronous: bool, gatepass: dict[str, Any], lines: Any
) -> None:
    @requires("payouts:create")
    class Whole(View):
        def get(self, request: Any) -> HttpResponse:
            return view(request)

    @requires("charges:get")
    class Later(View):
        async def get(self, request: Any) -> HttpResponse:
            return view(request)

    class ByMethod(View):
        @requires("charges:get")
        def get(self, request: Any) -> HttpResponse:
            return view(request)

        @method_decorator(requires("payouts:create"))
        def post(self, request: Any) -> HttpResponse:
            return view(request)

    class Inherits(Whole):
        pass

    @method_decorator(requires("payouts:create"), name="dispatch")
    class InDjangosWay(View):
        def get(self, request: Any) -> HttpResponse:
            return view(request)

    assert "gatepass_needs" not in vars(View.dispatch), "nobody else's dispatch is touched"
    patterns = [
        path("whole", Whole.as_view()),
        path("later", Later.as_view()),
        path("method", ByMethod.as_view()),
        path("inherits", Inherits.as_view()),
        path("django", InDjangosWay.as_view()),
    ]
    with django_site(gatepass, *patterns, middleware=middleware, asynchronous=asynchronous) as call:
        for target in ("/whole", "/inherits", "/django"):
            assert call("GET", target, lines).outcome == "permission_missing"
            assert call("GET", target).outcome == "token_missing"
        for target in ("/later", "/method"):
            assert call("GET", target, lines).body == b"seen"
            assert call("HEAD", target, lines).status == 200
            assert call("GET", target).outcome == "token_missing"
            assert call("HEAD", target).status == 401
        assert call("POST", "/method", lines).outcome == "permission_missing"
        if middleware:
            assert call("OPTIONS", "/method", lines).outcome == "route_unknown"
            assert call("PUT", "/method", lines).outcome == "route_unknown"


def test_a_view_that_nobody_named_is_refused_whatever_stands_around_it(
    gatepass: dict[str, Any], lines: Any
) -> None:
    def forgotten(request: Any) -> HttpResponse:
        return view(request)

    class Forgotten(View):
        def get(self, request: Any) -> HttpResponse:
            return view(request)

    @requires("charges:get")
    class Named(View):
        def get(self, request: Any) -> HttpResponse:
            return view(request)

    class OwnDispatch(Named):
        def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return view(request)

    @exempt
    class Open(View):
        def get(self, request: Any) -> HttpResponse:
            return view(request)

    @exempt
    class StillNamed(Named):
        pass

    patterns = [
        path("function", csrf_exempt(forgotten)),
        path("class", Forgotten.as_view()),
        path("own", OwnDispatch.as_view()),
        path("open", Open.as_view()),
        path("still", StillNamed.as_view()),
    ]
    with django_site(gatepass, *patterns) as call:
        for target in ("/function", "/class", "/own"):
            assert call("GET", target, lines).outcome == "route_unknown"
            assert call("GET", target).outcome == "token_missing"
        assert call("GET", "/open").body == b"seen"
        assert call("GET", "/still").outcome == "token_missing"
        assert call("GET", "/nowhere").status == 404


def test_an_answer_that_no_view_gave_is_refused(
    gatepass: dict[str, Any], lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Middleware behind ours can answer by itself: static files, a health check, a fallback."""

    def answering(get_response: Any) -> Any:
        def middleware(request: Any) -> HttpResponse:
            if request.path_info == "/static":
                return HttpResponse("SECRET")
            if request.path_info == "/moved":
                return HttpResponse(status=301, headers={"location": "/moved/"})
            return get_response(request)

        return middleware

    ours = importable(monkeypatch, answering)
    seen = path("seen", requires("charges:get")(view))
    for asynchronous in (False, True):
        stack = [*MIDDLEWARE, ours]
        with django_site(gatepass, seen, middleware=stack, asynchronous=asynchronous) as call:
            assert call("GET", "/static", lines).outcome == "route_unknown"
            assert call("GET", "/static").outcome == "token_missing"
            assert call("GET", "/moved").status == 301
            assert call("GET", "/nowhere", lines).status == 404
            assert call("GET", "/seen", lines).body == b"seen"
        # What is in front of ours answers as it did.
        with django_site(gatepass, seen, middleware=stack[::-1], asynchronous=asynchronous) as call:
            assert call("GET", "/static").body == b"SECRET"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("by_routes", [False, True])
def test_a_method_or_path_that_is_overridden_behind_the_guard_is_decided_again(
    by_routes: bool,
    asynchronous: bool,
    gatepass: dict[str, Any],
    grants: Grants,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A caller that may read must not write by a header that says so."""
    done: list[str] = []

    def overriding(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            request.method = request.headers.get("x-http-method-override", request.method)
            request.path_info = request.headers.get("x-rewrite-url", request.path_info)
            return get_response(request)

        return middleware

    ours = importable(monkeypatch, overriding)

    def charge(request: Any, id: str) -> HttpResponse:
        done.append(request.method)
        return view(request)

    class Charge(View):
        @requires("charges:get")
        def get(self, request: Any, id: str) -> HttpResponse:
            return charge(request, id)

        @requires("payouts:create")
        def post(self, request: Any, id: str) -> HttpResponse:
            return charge(request, id)

        def delete(self, request: Any, id: str) -> HttpResponse:
            return charge(request, id)

    settings, patterns = gatepass, [path("charges/<id>", Charge.as_view())]
    if by_routes:
        permissions = {"GET /charges/{id}": "charges:get", "POST /charges/{id}": "payouts:create"}
        settings = {**gatepass, "PERMISSIONS": permissions, "EXEMPT": ["GET /health/{id}"]}
        patterns = [path("charges/<id>", charge), path("health/<id>", charge)]
    stack = [*MIDDLEWARE, ours]
    lines = [("x-access-token", grants.token(permissions=frozenset({"charges:get"})))]
    with django_site(settings, *patterns, middleware=stack, asynchronous=asynchronous) as call:
        assert call("GET", "/charges/1", lines).body == b"seen"
        for method, outcome in (("POST", "permission_missing"), ("DELETE", "route_unknown")):
            override = ("x-http-method-override", method)
            assert call("GET", "/charges/1", [*lines, override]).outcome == outcome
            assert call("GET", "/charges/1", [override]).outcome == "token_missing"
        if by_routes:
            rewrite = ("x-rewrite-url", "/charges/1")
            assert call("GET", "/health/1", [rewrite]).outcome == "token_missing"
            assert call("GET", "/health/1").body == b"seen"
            done.pop()
    assert done == ["GET"]


def test_several_requirements_must_all_be_held(gatepass: dict[str, Any], grants: Grants) -> None:
    both = requires("charges:get")(csrf_exempt(requires("charges:create")(view)))
    for middleware in ([], MIDDLEWARE):
        with django_site(gatepass, path("x", both), middleware=middleware) as call:
            for name in ("charges:get", "charges:create"):
                token = grants.token(permissions=frozenset({name}))
                answer = call("GET", "/x", [("x-access-token", token)])
                assert answer.outcome == "permission_missing"
            assert call("GET", "/x", [("x-access-token", grants.token())]).body == b"seen"


def test_a_cache_around_a_view_answers_nobody_who_may_not_see_it(
    gatepass: dict[str, Any], lines: Any
) -> None:
    """The middleware decides before the view's own decorators do anything."""
    cached = cache_page(60)(requires("charges:get")(view))
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with django_site(gatepass, path("cached", cached), CACHES=caches) as call:
        assert call("GET", "/cached", lines).body == b"seen"
        assert call("GET", "/cached", lines).body == b"seen"
        assert call("GET", "/cached").outcome == "token_missing"


def test_what_is_no_view_cannot_require_anything() -> None:
    @requires("charges:get")
    def function(number: int) -> int:
        return number

    with pytest.raises(TypeError):
        function(3)
    for name in ("charges", "charges:*", "*", ""):
        with pytest.raises(Misconfigured):
            requires(name)


def test_routes_come_first_and_decorators_add_to_them(
    gatepass: dict[str, Any], lines: Any, grants: Grants
) -> None:
    settings = {**gatepass, "PERMISSIONS": PERMISSIONS, "EXEMPT": ["GET /health"]}
    patterns = [
        path("charges/<id>", requires("charges:create")(view)),
        path("charges", exempt(view)),
        path("health", requires("charges:get")(view)),
    ]
    with django_site(settings, *patterns) as call:
        assert call("GET", "/charges/1", lines).body == b"seen"
        only = [("x-access-token", grants.token(permissions=frozenset({"charges:get"})))]
        assert call("GET", "/charges/1", only).outcome == "permission_missing"
        assert call("POST", "/charges").outcome == "token_missing"
        assert call("GET", "/health").outcome == "token_missing"
        assert call("GET", "/health", lines).body == b"seen"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_is_decided_once_and_where_it_arrived(
    asynchronous: bool,
    gatepass: dict[str, Any],
    verifier: Verifier,
    lines: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One call is one use of its token, and a hop to another thread would cost more than all."""
    noted: list[int] = []

    class Counter:
        def note(self, *_: Any) -> None:
            noted.append(threading.get_ident())

    monkeypatch.setattr(verifier, "usage", Counter())
    needs = path("charges/<id>", requires("charges:get")(view_later))
    for settings in (gatepass, {**gatepass, "PERMISSIONS": PERMISSIONS}):
        with django_site(settings, needs, asynchronous=asynchronous) as call:
            assert call("GET", "/charges/1", lines).body == b"seen"
            assert noted == [threading.get_ident()]
            noted.clear()


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("root", "target", "outcome"),
    [
        ("", "/charges/1", "allowed"),
        ("/v1", "/v1/charges/1", "allowed"),
        ("/v1", "/v1%2Fcharges/1", "path_ambiguous"),
        ("", "/x/../charges/1", "path_ambiguous"),
        ("", "//charges/1", "path_ambiguous"),
    ],
)
def test_the_path_is_the_one_that_django_routes_on(
    root: str,
    target: str,
    outcome: str,
    asynchronous: bool,
    gatepass: dict[str, Any],
    lines: Any,
) -> None:
    environ = {"PATH_INFO": "/charges/1", "SCRIPT_NAME": root, "RAW_URI": target}
    scope = {"path": root + "/charges/1", "root_path": root, "raw_path": target.encode()}
    with django_site(
        {**gatepass, "PERMISSIONS": PERMISSIONS},
        path("charges/<id>", view),
        asynchronous=asynchronous,
        environ=scope if asynchronous else environ,
    ) as call:
        answer = call("GET", "/", lines)
        assert answer.body == b"seen" or answer.outcome == outcome != "allowed"


@pytest.mark.parametrize(
    ("forced", "asynchronous", "outcome"),
    [
        ("/v1", False, "allowed"),
        ("/v1", True, "allowed"),
        # Below ASGI, Django cuts the root off wherever it ends, and routes on what is left.
        ("/charges", False, "allowed"),
        ("/charges", True, "route_unknown"),
        ("/char", True, "path_ambiguous"),
    ],
)
def test_a_root_that_django_is_told_counts_as_django_takes_it(
    forced: str, asynchronous: bool, outcome: str, gatepass: dict[str, Any], lines: Any
) -> None:
    with django_site(
        {**gatepass, "PERMISSIONS": PERMISSIONS},
        path("charges/<id>", view),
        path("<id>", view),
        asynchronous=asynchronous,
        FORCE_SCRIPT_NAME=forced,
    ) as call:
        answer = call("GET", "/charges/1", lines)
        assert answer.body == b"seen" or answer.outcome == outcome != "allowed"


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"VERIFIER": None}, "VERIFIER"),
        ({"VERIFYER": 1}, "VERIFYER"),
        ({"permissions": {}}, "permissions"),
        ({"EXEMPT": ["GET /x"]}, "routes"),
        ({"PERMISSIONS": {"GET /x": "x"}}, "'x'"),
    ],
)
def test_settings_that_cannot_be_used_stop_the_start(
    changes: dict[str, Any], named: str, gatepass: dict[str, Any]
) -> None:
    settings = {name: value for name, value in {**gatepass, **changes}.items() if value is not None}
    with pytest.raises(Misconfigured, match=named), django_site(settings, path("x", exempt(view))):
        pass


def test_no_settings_at_all_are_no_permission(gatepass: dict[str, Any]) -> None:
    with override_settings():
        from django.conf import settings

        assert not hasattr(settings, "GATEPASS")
        with pytest.raises(Misconfigured):
            WSGIHandler.load_middleware(_with_our_middleware())


def _with_our_middleware() -> Any:
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        return WSGIHandler()


def test_the_verifier_is_opened_once_by_its_path(
    verifier: Verifier, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Verifier] = []

    def opening() -> Verifier:
        opened.append(verifier)
        return verifier

    module = types.ModuleType("shop_gatepass")
    module.__dict__["verifier"] = opening
    monkeypatch.setitem(__import__("sys").modules, "shop_gatepass", module)
    named = {"VERIFIER": "shop_gatepass.verifier"}
    with django_site(named, path("x", requires("charges:get")(view)), middleware=[]) as call:
        assert opened == []
        concurrently(call, ["GET"] * 8, ["/x"] * 8, [lines] * 8)
        assert call("GET", "/x", lines).body == b"seen"
    assert len(opened) == 1


def test_a_verifier_that_cannot_be_opened_lets_nobody_in(lines: Any) -> None:
    def broken() -> Verifier:
        raise Misconfigured("no such file")

    needs = path("x", requires("charges:get")(view))
    with django_site({"VERIFIER": broken}, needs, middleware=[]) as call:
        for _ in range(2):
            assert call("GET", "/x", lines).status == 500
    with pytest.raises(Misconfigured), django_site({"VERIFIER": broken}, needs):
        pass
