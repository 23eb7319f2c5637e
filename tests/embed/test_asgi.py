"""The middleware: only permitted calls reach the application, and every refusal says why."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from gatepass.core.errors import GatepassError, Misconfigured
from gatepass.core.routes import RouteError
from gatepass.embed import GatepassMiddleware
from gatepass.verify.verifier import Verifier
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


def client(app: Any, address: str = "203.0.113.9", base: str = "http://api.example") -> "Caller":
    return Caller(app, address, base)


class Caller:
    """Calls an ASGI application over httpx, from an address."""

    def __init__(self, app: Any, address: str, base: str) -> None:
        self._transport = httpx.ASGITransport(app=app, client=(address, 40_000))
        self._base = base

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=self._base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(call())


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **more}


def test_a_permitted_call_reaches_the_application_with_its_decision(
    application: Application, verifier: Verifier, grants: Grants
) -> None:
    token = grants.token()
    answer = client(GatepassMiddleware(application, verifier, permissions=PERMISSIONS))(
        "POST", "/charges", headers=bearer(token)
    )
    assert answer.status_code == 200
    assert answer.json() == {"token": token[:21]}


def test_head_is_a_get(application: Application, verifier: Verifier, grants: Grants) -> None:
    guarded = GatepassMiddleware(application, verifier, permissions=PERMISSIONS)
    answer = client(guarded)("HEAD", "/charges/1", headers={"x-access-token": grants.token()})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("status", "reason", "call"),
    [
        (401, "token_missing", {}),
        (401, "token_missing", {"headers": {"authorization": "Basic Z2F0ZTpwYXNz"}}),
        (401, "token_invalid", {"headers": bearer("gpat_nonsense")}),
        (401, "token_invalid", {"headers": [(b"x-access-token", b"\xff")]}),
        (401, "token_missing", {"params": {"access_token": "{token}", "token": "{token}"}}),
        (403, "route_unknown", {"method": "DELETE", "headers": "{token}"}),
        (403, "route_unknown", {"path": "/admin", "headers": "{token}"}),
        (403, "path_ambiguous", {"path": "/charges/", "headers": "{token}"}),
        (403, "path_ambiguous", {"path": "/", "headers": "{token}"}),
        (403, "permission_missing", {"path": "/charges/1/payout", "headers": "{token}"}),
    ],
)
def test_a_refusal_is_a_problem_that_names_its_reason_and_never_reaches_the_application(
    status: int,
    reason: str,
    call: dict[str, Any],
    application: Application,
    verifier: Verifier,
    grants: Grants,
) -> None:
    token = grants.token()
    call = {"method": "POST", "path": "/charges", **call}
    if call.get("headers") == "{token}":
        call["headers"] = bearer(token)
    if "params" in call:
        call["params"] = dict.fromkeys(call["params"], token)
    guarded = GatepassMiddleware(application, verifier, permissions=PERMISSIONS)
    answer = client(guarded)(**call)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["status"] == status
    assert token not in answer.text
    assert application.reached == []


# --- where from ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "status"),
    [
        ("198.51.100.7", [], [], 200),
        ("203.0.113.9", [], [], 403),
        ("203.0.113.9", ["198.51.100.7"], [], 403),
        ("10.0.0.1", ["198.51.100.7"], ["10.0.0.0/8"], 200),
        ("10.0.0.1", ["198.51.100.7, 203.0.113.9"], ["10.0.0.0/8"], 403),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.0.0.2"], ["10.0.0.0/8"], 200),
        ("10.0.0.1", ["198.51.100.7, rubbish"], ["10.0.0.0/8"], 403),
        ("testclient", [], [], 403),
    ],
)
def test_the_address_is_the_peers_or_what_a_trusted_proxy_says(
    peer: str,
    forwarded: list[str],
    trusted: list[str],
    status: int,
    application: Application,
    verifier: Verifier,
    grants: Grants,
) -> None:
    guarded = GatepassMiddleware(
        application, verifier, permissions=PERMISSIONS, trusted_proxies=trusted
    )
    headers = [("authorization", f"Bearer {grants.token(networks=('198.51.100.0/24',))}")]
    headers += [("x-forwarded-for", line) for line in forwarded]
    assert client(guarded, peer)("POST", "/charges", headers=headers).status_code == status


def test_garbage_from_a_trusted_proxy_is_refused_even_without_restrictions(
    application: Application, verifier: Verifier, grants: Grants
) -> None:
    guarded = GatepassMiddleware(
        application, verifier, permissions=PERMISSIONS, trusted_proxies=["10.0.0.0/8"]
    )
    headers = bearer(grants.token(), **{"x-forwarded-for": "203.0.113.9, "})
    answer = client(guarded, "10.0.0.1")("POST", "/charges", headers=headers)
    assert answer.json()["reason"] == "address_not_allowed"


# --- what can't be decided ----------------------------------------------------------------------


def test_an_unknown_kind_of_connection_is_not_passed_on(
    application: Application, verifier: Verifier
) -> None:
    guarded = GatepassMiddleware(application, verifier, permissions=PERMISSIONS)
    with pytest.raises(ValueError, match="webtransport"):
        asyncio.run(guarded({"type": "webtransport"}, None, None))
    assert application.reached == []


def test_lifespan_passes_through(application: Application, verifier: Verifier) -> None:
    guarded = GatepassMiddleware(application, verifier, permissions=PERMISSIONS)
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
    scope: dict[str, Any], reason: str, application: Application, verifier: Verifier, grants: Grants
) -> None:
    guarded = GatepassMiddleware(application, verifier, permissions=PERMISSIONS)
    assert ask(guarded, grants.token(), **scope) == reason
    assert bool(application.reached) == (reason == "allowed")


def test_a_mounted_application_is_guarded_by_its_own_paths(
    verifier: Verifier, grants: Grants
) -> None:
    async def charge(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.path_params["id"]})

    inner = Starlette(routes=[Route("/charges/{id}", charge), Route("/admin", charge)])
    guarded = GatepassMiddleware(inner, verifier, permissions={"GET /charges/{id}": "charges:get"})
    call = client(Starlette(routes=[Mount("/v1/{tenant}", guarded), Mount("/api", guarded)]))
    headers = bearer(grants.token())
    assert call("GET", "/api/charges/7", headers=headers).json() == {"id": "7"}
    assert call("GET", "/v1/acme/charges/7", headers=headers).json() == {"id": "7"}
    assert call("GET", "/api/charges/7").status_code == 401
    assert call("GET", "/api/admin", headers=headers).json()["reason"] == "route_unknown"
    assert call("GET", "/api/api/charges/7", headers=headers).status_code == 403


def test_exempt_routes_need_no_token_and_nothing_beside_them_is_open(
    application: Application, verifier: Verifier, grants: Grants
) -> None:
    call = client(
        GatepassMiddleware(
            application,
            verifier,
            permissions=PERMISSIONS,
            exempt=["GET /health", "OPTIONS /charges"],
        )
    )
    assert call("GET", "/health").json() == {"token": None}
    assert call("HEAD", "/health").status_code == 200
    assert call("OPTIONS", "/charges").status_code == 200
    assert call("POST", "/health").status_code == 401
    assert call("GET", "/health/").status_code == 401
    assert call("GET", "/health%2F").status_code == 401
    assert call("OPTIONS", "/charges/1").status_code == 401


# --- browsers -----------------------------------------------------------------------------------


def test_options_that_is_no_preflight_is_guarded_although_cors_is_on(
    application: Application, verifier: Verifier
) -> None:
    call = client(GatepassMiddleware(application, verifier, permissions=PERMISSIONS, cors=True))
    assert call("OPTIONS", "/charges").status_code == 401
    assert call("OPTIONS", "/charges", headers={"origin": "https://a.example"}).status_code == 401
    assert application.reached == []


def test_an_applications_own_cors_headers_stay(verifier: Verifier, grants: Grants) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        answer = JSONResponse({}, headers={"access-control-allow-origin": "https://a.example"})
        await answer(scope, receive, send)

    call = client(GatepassMiddleware(app, verifier, permissions=PERMISSIONS, cors=True))
    answer = call("POST", "/charges", headers=bearer(grants.token()))
    assert answer.headers.get_list("access-control-allow-origin") == ["https://a.example"]


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
    application: Application, verifier: Verifier, grants: Grants
) -> None:
    guarded = GatepassMiddleware(application, verifier, permissions=PERMISSIONS)
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
    verifier: Verifier,
    grants: Grants,
) -> None:
    guarded = GatepassMiddleware(application, verifier, permissions=PERMISSIONS)
    text = grants.token() if token else None
    sent = shake_hands(guarded, text, path=path)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": reason}]
    answered = shake_hands(guarded, text, path=path, extensions={"websocket.http.response": {}})
    assert answered[0]["type"] == "websocket.http.response.start"
    assert answered[0]["status"] == (403 if token else 401)
    assert json.loads(answered[1]["body"])["reason"] == reason
    assert application.reached == []


# --- what is handed in --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, Misconfigured),
        ({"permissions": {}, "catalogue": "x.yaml"}, Misconfigured),
        ({"permissions": {"GET /a": "charges"}}, Misconfigured),
        ({"permissions": {"GET /a": "charges:*"}}, Misconfigured),
        ({"permissions": {"/a": "charges:get"}}, RouteError),
        ({"permissions": {"GET /a": "charges:get"}, "exempt": ["GET /a"]}, RouteError),
        ({"permissions": {}, "exempt": ["GET /{a"]}, RouteError),
        ({"permissions": {}, "trusted_proxies": ["10.0.0.0/33"]}, ValueError),
        ({"catalogue": "/does/not/exist.yaml"}, Misconfigured),
    ],
)
def test_what_cannot_be_used_stops_the_start(
    options: dict[str, Any], error: type[Exception], application: Application, verifier: Verifier
) -> None:
    with pytest.raises(error):
        GatepassMiddleware(application, verifier, **options)
    assert issubclass(error, GatepassError | ValueError)
