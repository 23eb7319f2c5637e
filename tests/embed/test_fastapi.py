"""What is particular to FastAPI: dependencies, routers, its description of the API, WebSockets."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from gatepass import Decision, Misconfigured, Unavailable, Verifier
from gatepass.embed.fastapi import Guard, Refused
from tests.support.apps.framework_apps import asgi_call
from tests.support.grants.grant_file_fixture import Grants


@pytest.fixture
def guard(verifier: Verifier) -> Guard:
    return Guard(verifier)


def nothing() -> dict[str, str]:
    return {}


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


def guarded_app(guard: Guard, **options: Any) -> FastAPI:
    return FastAPI(
        dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers, **options
    )


def test_a_permission_may_be_required_of_a_whole_application(guard: Guard, grants: Grants) -> None:
    app = FastAPI(
        dependencies=[Depends(guard.requires("charges:get"))],
        exception_handlers=guard.exception_handlers,
    )
    app.add_api_route("/anything", nothing)
    call = asgi_call(app)
    assert call("GET", "/anything").outcome == "token_missing"
    assert call("GET", "/anything", bearer(grants.token())).outcome == "allowed"
    other = grants.token(permissions=frozenset({"charges:create"}))
    assert call("GET", "/anything", bearer(other)).outcome == "permission_missing"


def test_two_requirements_must_both_be_held(guard: Guard, grants: Grants) -> None:
    app = guarded_app(guard)
    both = [Depends(guard.requires("charges:get")), Depends(guard.requires("charges:create"))]
    app.add_api_route("/both", nothing, dependencies=both)
    call = asgi_call(app)
    assert call("GET", "/both", bearer(grants.token())).outcome == "allowed"
    for name in ("charges:get", "charges:create"):
        token = grants.token(permissions=frozenset({name}))
        assert call("GET", "/both", bearer(token)).outcome == "permission_missing"


def test_routers_say_what_all_of_their_routes_need(guard: Guard, grants: Grants) -> None:
    """On the router, where it is included, and within other routers."""
    app = guarded_app(guard)
    needs = [Depends(guard.requires("payouts:create"))]
    own = APIRouter(prefix="/own", dependencies=needs)
    plain = APIRouter(prefix="/plain")
    outer = APIRouter(prefix="/outer", dependencies=needs)
    inner = APIRouter(prefix="/inner")
    for router in (own, plain, inner):
        router.add_api_route("/x", nothing)
    outer.include_router(inner)
    app.include_router(own)
    app.include_router(plain, prefix="/a", dependencies=needs)
    app.include_router(plain, prefix="/b")
    app.include_router(outer)
    app.include_router(inner, prefix="/open", dependencies=[Depends(guard.exempt)])
    call = asgi_call(app)
    for target in ("/own/x", "/a/plain/x", "/outer/inner/x"):
        assert call("GET", target, bearer(grants.token())).outcome == "permission_missing"
        assert call("GET", target).outcome == "token_missing"
    assert call("GET", "/b/plain/x", bearer(grants.token())).outcome == "route_unknown"
    assert call("GET", "/open/inner/x").outcome == "allowed"


def test_a_requirement_below_another_dependency_counts(guard: Guard, grants: Grants) -> None:
    def account(decision: Annotated[Decision, Depends(guard.requires("charges:get"))]) -> str:
        assert decision.grant is not None
        return decision.grant.company

    app = guarded_app(guard)

    @app.get("/deep")
    def deep(company: Annotated[str, Depends(account)]) -> Any:
        return {"company": company}

    call = asgi_call(app)
    assert call("GET", "/deep", bearer(grants.token())).json == {"company": "com_1"}
    assert call("GET", "/deep").outcome == "token_missing"


def test_one_permission_is_asked_for_once_a_call(
    guard: Guard, verifier: Verifier, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or one call would count as two uses of its token."""
    app, noted = guarded_app(guard), []

    class Counter:
        def note(self, decision: Decision, now: int) -> None:
            noted.append(decision)

    monkeypatch.setattr(verifier, "usage", Counter())
    router = APIRouter(dependencies=[Depends(guard.requires("charges:get"))])

    @router.get("/x")
    def x(decision: Annotated[Decision, Depends(guard.requires("charges:get"))]) -> Any:
        assert decision is noted[0]

    app.include_router(router)
    assert asgi_call(app)("GET", "/x", bearer(grants.token())).status == 200
    assert len(noted) == 1


def test_another_guards_requirement_is_none_of_ours(
    guard: Guard, verifier: Verifier, grants: Grants
) -> None:
    """It may trust other proxies, and be there for another reason."""
    app = guarded_app(guard)
    needs = [Depends(Guard(verifier).requires("charges:get"))]
    app.add_api_route("/other", nothing, dependencies=needs)
    assert asgi_call(app)("GET", "/other", bearer(grants.token())).outcome == "route_unknown"


def test_a_route_that_fastapi_does_not_describe_is_refused(guard: Guard, grants: Grants) -> None:
    """Should a later version keep its dependencies elsewhere, nothing opens."""
    app = guarded_app(guard)
    app.add_api_route("/x", nothing, dependencies=[Depends(guard.requires("charges:get"))])

    async def hidden(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    (route,) = [route for route in app.routes if getattr(route, "path", "") == "/x"]
    assert asgi_call(hidden)("GET", "/x", bearer(grants.token())).outcome == "allowed"
    del route.dependant  # type: ignore[attr-defined] - an APIRoute's
    assert asgi_call(hidden)("GET", "/x", bearer(grants.token())).outcome == "route_unknown"


def test_the_description_names_the_scheme_where_it_is_needed(guard: Guard) -> None:
    app = guarded_app(guard)
    app.add_api_route("/x", nothing, dependencies=[Depends(guard.requires("charges:get"))])
    app.add_api_route("/health", nothing, dependencies=[Depends(guard.exempt)])
    described = app.openapi()
    (scheme,) = described["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert described["paths"]["/x"]["get"]["security"] == [{"Gatepass": []}]
    assert "security" not in described["paths"]["/health"]["get"]
    assert described["paths"]["/x"]["get"].get("parameters", []) == []


def test_without_our_handler_status_and_headers_are_right_all_the_same(
    guard: Guard, grants: Grants
) -> None:
    app = FastAPI()
    app.add_api_route("/x", nothing, dependencies=[Depends(guard.requires("payouts:create"))])
    answer = asgi_call(app)("GET", "/x", bearer(grants.token()))
    assert (answer.status, answer.header("cache-control")) == (403, "no-store")
    assert 'scope="payouts:create"' in (answer.header("www-authenticate") or "")
    assert answer.json == {"detail": "The credential doesn't hold payouts:create."}


def test_an_application_may_answer_refusals_in_its_own_words(guard: Guard) -> None:
    async def own(request: Request, error: HTTPException) -> JSONResponse:
        assert isinstance(error, Refused)
        return JSONResponse({"oh": error.refusal.reason}, error.status_code, error.headers)

    app = FastAPI(exception_handlers={HTTPException: own})
    app.add_api_route("/x", nothing, dependencies=[Depends(guard.requires("charges:get"))])
    assert asgi_call(app)("GET", "/x").json == {"oh": "token_missing"}


@pytest.mark.parametrize("name", ["charges", "charges:*", "*", "", "Charges:get"])
def test_what_no_token_could_hold_cannot_be_required(name: str, guard: Guard) -> None:
    with pytest.raises(Misconfigured):
        guard.requires(name)


def test_websockets_are_guarded_at_their_handshake(
    guard: Guard, verifier: Verifier, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = guarded_app(guard)
    reached: list[str] = []

    @app.websocket("/feed")
    async def feed(
        websocket: WebSocket, decision: Annotated[Decision, Depends(guard.requires("charges:get"))]
    ) -> None:
        assert decision.grant is not None
        await websocket.accept()
        await websocket.send_text(decision.grant.label)
        await websocket.close()

    @app.websocket("/forgotten")
    async def forgotten(websocket: WebSocket) -> None:
        reached.append("forgotten")

    router = APIRouter(dependencies=[Depends(guard.requires("payouts:create"))])

    @router.websocket("/payouts")
    async def payouts(websocket: WebSocket) -> None:
        reached.append("payouts")

    app.include_router(router)
    client = TestClient(app)
    token = {"x-access-token": grants.token()}
    with client.websocket_connect("/feed", headers=token) as open_socket:
        assert open_socket.receive_text() == "a test's"

    def refused(path: str, headers: dict[str, str]) -> tuple[int, str]:
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect(path, headers=headers),
        ):
            pass
        return caught.value.code, caught.value.reason

    assert refused("/feed", {}) == (1008, "token_missing")
    assert refused("/forgotten", token) == (1008, "route_unknown")
    assert refused("/payouts", token) == (1008, "permission_missing")

    def unavailable(*_: object, **__: object) -> None:
        raise Unavailable("the file can't be read", reason="stale")

    monkeypatch.setattr(verifier, "judge", unavailable)
    assert refused("/feed", token) == (1013, "stale")
    assert reached == []
