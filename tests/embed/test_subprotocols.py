"""A token among a WebSocket's sub-protocols: the one way in for a browser's own WebSocket."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, WebSocket

from gatepass import GatepassMiddleware, Verifier
from gatepass.embed.fastapi import Guard
from tests.support.grants.grant_file_fixture import Grants

Make = Callable[[Verifier, list[Any], str | None], Any]


def _asgi(verifier: Verifier, seen: list[Any], choice: str | None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": choice})

    return GatepassMiddleware(
        app,
        verifier,
        permissions={"GET /feed": "charges:get", "GET /payouts": "payouts:create"},
        exempt=["GET /open"],
    )


def _fastapi(verifier: Verifier, seen: list[Any], choice: str | None) -> Any:
    guard = Guard(verifier)
    app = FastAPI(dependencies=[Depends(guard)])
    router = APIRouter(dependencies=[Depends(guard.requires("charges:create"))])

    @router.websocket("/feed", dependencies=[Depends(guard.requires("charges:get"))])
    async def feed(
        websocket: WebSocket, sec_websocket_protocol: Annotated[str | None, Header()] = None
    ) -> None:
        seen.append(websocket.scope)
        seen[-1] = {**websocket.scope, "read": websocket.headers.get("sec-websocket-protocol")}
        await websocket.accept(choice)

    @app.websocket("/open", dependencies=[Depends(guard.exempt)])
    async def exempt(websocket: WebSocket) -> None:
        seen.append({**websocket.scope, "app": None, "read": websocket.headers})
        await websocket.accept(choice)

    @router.websocket("/payouts", dependencies=[Depends(guard.requires("payouts:create"))])
    async def payouts(websocket: WebSocket) -> None:
        seen.append(websocket.scope)

    app.include_router(router)
    return app


@pytest.fixture(params=[_asgi, _fastapi])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def shake_hands(app: Any, *lines: str, path: str = "/feed", more: Any = ()) -> Any:
    """Open a WebSocket that offers *lines* of sub-protocols; what was answered first."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    offered = [name.strip() for line in lines for name in line.split(",")]
    scope = {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            *((b"sec-websocket-protocol", line.encode("latin-1")) for line in lines),
            *more,
        ],
        "subprotocols": offered,
        "client": ("203.0.113.9", 1),
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]


@pytest.mark.parametrize(
    ("lines", "own", "choice", "answered"),
    [
        (["gatepass, {token}"], [], None, "gatepass"),
        (["gatepass,{token}"], [], None, "gatepass"),
        (["gatepass", "{token}"], [], None, "gatepass"),
        (["gatepass, {token}, chat.v2, chat.v1"], ["chat.v2", "chat.v1"], None, "chat.v2"),
        (["gatepass, {token}", "chat.v1"], ["chat.v1"], None, "chat.v1"),
        (["gatepass, {token}, chat.v2, chat.v1"], ["chat.v2", "chat.v1"], "chat.v1", "chat.v1"),
    ],
)
def test_it_is_read_hidden_and_answered(
    lines: list[str],
    own: list[str],
    choice: str | None,
    answered: str,
    make: Make,
    verifier: Verifier,
    grants: Grants,
) -> None:
    token = grants.token()
    seen: list[Any] = []
    app = make(verifier, seen, choice)
    accept = shake_hands(app, *(line.format(token=token) for line in lines))
    assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", answered)
    (scope,) = seen
    assert scope["gatepass"].allowed
    assert scope["subprotocols"] == own
    kept = [value for key, value in scope["headers"] if key == b"sec-websocket-protocol"]
    assert kept == ([", ".join(own).encode()] if own else [])
    assert scope.get("read", ", ".join(own) or None) == (", ".join(own) or None)
    assert token not in repr({key: value for key, value in scope.items() if key != "app"})


def test_it_is_decided_as_any_other(make: Make, verifier: Verifier, grants: Grants) -> None:
    seen: list[Any] = []
    app = make(verifier, seen, None)
    token, ended = grants.token(), grants.token(deactivated=True)

    def refusal(*lines: str, **more: Any) -> str:
        answer = shake_hands(app, *lines, **more)
        assert answer["type"] == "websocket.close"
        return str(answer["reason"])

    assert refusal(f"gatepass, {ended}") == "token_deactivated"
    assert refusal(f"gatepass, {token}", path="/payouts") == "permission_missing"
    assert refusal("gatepass") == "token_missing"
    assert refusal("gatepass, nonsense") == "token_invalid"
    assert refusal(f"chat, gatepass, {token}") == "token_missing"
    assert refusal(f"{token}") == "token_missing"
    assert refusal(f"GATEPASS, {token}") == "token_missing"
    assert refusal(f"gatepass, {token}", more=[(b"x-access-token", b"x")]) == "token_invalid"
    assert seen == []


def test_another_credential_counts_before_it_and_it_is_hidden_all_the_same(
    make: Make, verifier: Verifier, grants: Grants
) -> None:
    seen: list[Any] = []
    one, other = grants.token(), grants.token(deactivated=True)
    header = [(b"authorization", f"Bearer {one}".encode())]
    answer = shake_hands(make(verifier, seen, None), f"gatepass, {other}", more=header)
    assert (answer["type"], answer["subprotocol"]) == ("websocket.accept", "gatepass")
    assert other not in repr(seen[0]["headers"]) + repr(seen[0]["subprotocols"])


def test_without_one_nothing_is_changed(make: Make, verifier: Verifier, grants: Grants) -> None:
    seen: list[Any] = []
    header = [(b"x-access-token", grants.token().encode())]
    answer = shake_hands(make(verifier, seen, None), "chat, gatepass", more=header)
    assert answer["subprotocol"] is None
    assert seen[0]["subprotocols"] == ["chat", "gatepass"]


def test_an_exempt_route_does_not_see_it_either(
    make: Make, verifier: Verifier, grants: Grants
) -> None:
    seen: list[Any] = []
    token = grants.token()
    answer = shake_hands(make(verifier, seen, None), f"gatepass, {token}", path="/open")
    assert answer["subprotocol"] == "gatepass"
    assert token not in repr(seen)


def test_over_http_it_is_no_credential(verifier: Verifier, grants: Grants) -> None:
    """A call that isn't a handshake carries its token in a header that pages can set."""
    from tests.support.apps.framework_apps import asgi_call

    call = asgi_call(_asgi(verifier, [], None))
    lines = [("sec-websocket-protocol", f"gatepass, {grants.token()}")]
    assert call("GET", "/feed", lines).outcome == "token_missing"
