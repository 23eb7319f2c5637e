"""What is particular to ASGI: raw paths, mounts, WebSockets, other kinds of connection."""

import asyncio
import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from gatepass.embed import GatepassMiddleware
from gatepass.verify.verifier import Verifier
from tests.support.apps.framework_apps import asgi_call
from tests.support.grants.grant_file_fixture import Grants

PERMISSIONS = {
    "POST /charges": "charges:create",
    "GET /charges/{id}": "charges:get",
    "POST /charges/{id}/payout": "payouts:create",
    "GET /feed": "charges:get",
}


class Application:
    """Echoes what reached it, and remembers."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["path"] if scope["type"] == "http" else scope["type"])
        if scope["type"] == "http":
            decision = scope["gatepass"]
            said = {"token": decision and decision.grant.id}
            await JSONResponse(said)(scope, receive, send)


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def guarded(application: Application, verifier: Verifier) -> GatepassMiddleware:
    return GatepassMiddleware(application, verifier, permissions=PERMISSIONS)


# --- what can't be decided ----------------------------------------------------------------------


def test_an_unknown_kind_of_connection_is_not_passed_on(
    application: Application, guarded: GatepassMiddleware
) -> None:
    with pytest.raises(ValueError, match="webtransport"):
        asyncio.run(guarded({"type": "webtransport"}, None, None))
    assert application.reached == []


def test_lifespan_passes_through(application: Application, guarded: GatepassMiddleware) -> None:
    asyncio.run(guarded({"type": "lifespan"}, None, None))
    assert application.reached == ["lifespan"]


# --- paths --------------------------------------------------------------------------------------


def ask(app: Any, token: str, **scope: Any) -> str:
    """Call with a hand-made scope, as some server or attacker might; the reason, or "allowed"."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    whole = {
        "type": "http",
        "method": "GET",
        "path": "/charges/1",
        "headers": [(b"authorization", f"Bearer {token}".encode())],
        "client": ("203.0.113.9", 1),
        **scope,
    }
    asyncio.run(app(whole, receive, send))
    reason: str = json.loads(sent[1]["body"]).get("reason", "allowed")
    return reason


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ({}, "allowed"),
        ({"raw_path": None}, "allowed"),
        ({"raw_path": b"/charges/1"}, "allowed"),
        ({"raw_path": b"/charges/1?limit=2"}, "allowed"),
        ({"raw_path": b"/%63harges/1"}, "allowed"),
        ({"path": "/charges/caf\u00e9", "raw_path": b"/charges/caf%C3%A9"}, "allowed"),
        ({"path": "/charges/a b"}, "allowed"),
        # the decoded path and the raw one disagree
        ({"path": "/admin", "raw_path": b"/charges/1"}, "path_ambiguous"),
        ({"path": "/charges/1", "raw_path": b"/charges/2"}, "path_ambiguous"),
        ({"path": "/charges/1/payout", "raw_path": b"/charges/1%2Fpayout"}, "path_ambiguous"),
        ({"path": "/charges/..", "raw_path": b"/charges/%2e%2e"}, "path_ambiguous"),
        ({"path": "/charges/%2f", "raw_path": b"/charges/%252f"}, "path_ambiguous"),
        ({"path": "/charges/%2f"}, "path_ambiguous"),
        ({"path": "/charges/1;x", "raw_path": b"/charges/1;x"}, "path_ambiguous"),
        # an id, to the application as well
        ({"path": "/charges/%31", "raw_path": b"/charges/%2531"}, "allowed"),
        ({"path": "/charges/%31"}, "allowed"),
        ({"path": "/charges/1;x", "raw_path": b"/charges/1%3Bx"}, "allowed"),
        ({"path": "/charges/1;x"}, "allowed"),
        ({"path": "/charges//1"}, "path_ambiguous"),
        ({"path": "/charges/\udcff"}, "path_ambiguous"),
        ({"path": "/charges/\ufffd", "raw_path": b"/charges/%FF"}, "path_ambiguous"),
        ({"path": "/charges/\u00ff", "raw_path": b"/charges/\xc3\xbf"}, "path_ambiguous"),
        # below a root
        ({"path": "/v1/charges/1", "root_path": "/v1"}, "allowed"),
        ({"path": "/v1/charges/1", "root_path": "/v1", "raw_path": b"/%761/charges/1"}, "allowed"),
        ({"path": "/charges/1", "root_path": "/v1"}, "allowed"),
        ({"path": "/v1/charges/1"}, "route_unknown"),
        ({"path": "/v1", "root_path": "/v1"}, "path_ambiguous"),
        ({"path": "/v1x/charges/1", "root_path": "/v1"}, "path_ambiguous"),
        ({"path": "/v1/charges/1", "root_path": "/v1/"}, "path_ambiguous"),
        (
            {"path": "/v1/charges/1", "root_path": "/v1", "raw_path": b"/v1%2Fcharges/1"},
            "path_ambiguous",
        ),
        ({"method": "get"}, "route_unknown"),
    ],
)
def test_only_a_path_that_the_application_can_read_no_other_way_is_matched(
    scope: dict[str, Any],
    reason: str,
    application: Application,
    guarded: GatepassMiddleware,
    grants: Grants,
) -> None:
    assert ask(guarded, grants.token(), **scope) == reason
    assert bool(application.reached) == (reason == "allowed")


def test_a_mounted_application_is_guarded_by_its_own_paths(
    verifier: Verifier, grants: Grants
) -> None:
    async def charge(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.path_params["id"]})

    inner = Starlette(routes=[Route("/charges/{id}", charge), Route("/admin", charge)])
    guarded = GatepassMiddleware(inner, verifier, permissions={"GET /charges/{id}": "charges:get"})
    call = asgi_call(Starlette(routes=[Mount("/v1/{tenant}", guarded), Mount("/api", guarded)]))
    lines = [("x-access-token", grants.token())]
    assert call("GET", "/api/charges/7", lines).json == {"id": "7"}
    assert call("GET", "/v1/acme/charges/7", lines).json == {"id": "7"}
    assert call("GET", "/api/charges/7").status == 401
    assert call("GET", "/api/admin", lines).outcome == "route_unknown"
    assert call("GET", "/api/api/charges/7", lines).status == 403


def test_exempt_routes_need_no_token_whatever_their_method(
    application: Application, verifier: Verifier
) -> None:
    exempt = ["GET /health", "OPTIONS /charges"]
    call = asgi_call(
        GatepassMiddleware(application, verifier, permissions=PERMISSIONS, exempt=exempt)
    )
    assert call("GET", "/health").json == {"token": None}
    for method, target, status in (
        ("HEAD", "/health", 200),
        ("OPTIONS", "/charges", 200),
        ("OPTIONS", "/charges/1", 401),
        ("POST", "/health", 401),
    ):
        assert call(method, target).status == status, (method, target)


# --- browsers -----------------------------------------------------------------------------------


def test_an_applications_own_cors_headers_stay(verifier: Verifier, grants: Grants) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        answer = JSONResponse({}, headers={"access-control-allow-origin": "https://a.example"})
        await answer(scope, receive, send)

    call = asgi_call(GatepassMiddleware(app, verifier, permissions=PERMISSIONS, cors=True))
    answer = call("POST", "/charges", [("x-access-token", grants.token())])
    assert answer.header("access-control-allow-origin") == "https://a.example"


# --- websockets ---------------------------------------------------------------------------------


def shake_hands(app: Any, token: str | None, **scope: Any) -> list[Any]:
    """Open a WebSocket; what was sent in return."""
    sent: list[Any] = []

    events = [{"type": "websocket.connect"}]

    async def receive() -> Any:
        return events.pop()

    async def send(message: Any) -> None:
        assert not events, "nothing may be sent before the handshake was received"
        sent.append(message)

    whole = {
        "type": "websocket",
        "path": "/feed",
        "headers": [] if token is None else [(b"x-access-token", token.encode())],
        "client": None,
        **scope,
    }
    asyncio.run(app(whole, receive, send))
    return sent


def test_a_websocket_is_guarded_by_its_handshake(
    application: Application, guarded: GatepassMiddleware, grants: Grants
) -> None:
    assert shake_hands(guarded, grants.token()) == []
    assert application.reached == ["websocket"]


@pytest.mark.parametrize(
    ("path", "token", "reason"), [("/feed", False, "token_missing"), ("/x", True, "route_unknown")]
)
def test_a_refused_websocket_is_closed_before_it_opens(
    path: str,
    token: bool,
    reason: str,
    application: Application,
    guarded: GatepassMiddleware,
    grants: Grants,
) -> None:
    text = grants.token() if token else None
    sent = shake_hands(guarded, text, path=path)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": reason}]
    answered = shake_hands(guarded, text, path=path, extensions={"websocket.http.response": {}})
    assert answered[0]["type"] == "websocket.http.response.start"
    assert answered[0]["status"] == (403 if token else 401)
    assert json.loads(answered[1]["body"])["reason"] == reason
    assert application.reached == []
