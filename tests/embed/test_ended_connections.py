"""WebSockets and streaming answers end when their call would no longer be allowed."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import StreamingHttpResponse
from django.test.utils import override_settings
from django.urls import path
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
from starlette.responses import StreamingResponse

from gatepass import GatepassMiddleware
from gatepass.embed import wsgi
from gatepass.embed.fastapi import Guard
from gatepass.testing import FakeVerifier
from tests.support.apps.framework_apps import MIDDLEWARE, wsgi_environ
from tests.support.grants.grant_file_fixture import Grants
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving
from tests.support.waiting import until

GET = "charges:get"
PERMISSIONS = {f"GET /{name}": GET for name in ("stream", "file", "answer", "feed")}
#: A guard against a hang.
LIMIT_S = 60.0

Messages = list[dict[str, Any]]
#: What the applications note: that they were cancelled, or got to their end.
Noted = list[str]


@pytest.fixture
def noted() -> Noted:
    return []


async def _parts(noted: Noted, go_on: asyncio.Event) -> AsyncIterator[bytes]:
    try:
        yield b"one"
        await go_on.wait()
        yield b"two"
    finally:
        noted.append("closed")


class Connection:
    """A connection to an ASGI application, as a server has it."""

    def __init__(self, app: Any, kind: str, target: str, token: str, **more: Any) -> None:
        self.sent: Messages = []
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        opening = "websocket.connect" if kind == "websocket" else "http.request"
        self._received.put_nowait({"type": opening, "body": b"", "more_body": False})
        scope = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": target,
            "raw_path": target.encode(),
            "query_string": b"",
            "root_path": "",
            "subprotocols": [],
            "headers": [(b"authorization", b"Bearer " + token.encode())],
            "client": ("203.0.113.9", 40_000),
            "server": ("api.example", 80),
            **more,
        }
        self.served = asyncio.create_task(app(scope, self._received.get, self._send))

    def receives(self, message: dict[str, Any]) -> None:
        """Have the client send *message*."""
        self._received.put_nowait(message)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(dict(message))

    async def until(self, found: Callable[[], object]) -> None:
        """Wait until *found* is true."""
        async with asyncio.timeout(LIMIT_S):
            while not found():
                if self.served.done():
                    self.served.result()
                await asyncio.sleep(0.01)

    async def end(self) -> Messages:
        """What was sent, once the application has returned; raises what it raises."""
        async with asyncio.timeout(LIMIT_S):
            await self.served
        return self.sent

    @property
    def body(self) -> bytes:
        """The parts of the answer so far."""
        return b"".join(message.get("body", b"") for message in self.sent)


# --- the applications -----------------------------------------------------------------------------


def _asgi(verifier: FakeVerifier, noted: Noted, go_on: asyncio.Event) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            try:
                await go_on.wait()
                await send({"type": "websocket.close", "code": 1000})
            finally:
                noted.append("closed")
            return
        name = scope["path"][1:]
        if name == "answer":
            await go_on.wait()
        length = [(b"content-length", b"6")] if name == "file" else []
        await send({"type": "http.response.start", "status": 200, "headers": length})
        if name == "answer":
            await send({"type": "http.response.body", "body": b"onetwo"})
            await asyncio.sleep(0.3)
            noted.append("completed")
            return
        async for part in _parts(noted, go_on):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return GatepassMiddleware(app, verifier, permissions=PERMISSIONS)


def _fastapi(verifier: FakeVerifier, noted: Noted, go_on: asyncio.Event) -> Any:
    guard = Guard(verifier)
    app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)
    needs_get = [Depends(guard.requires(GET))]

    @app.get("/stream", dependencies=needs_get)
    async def stream() -> Any:
        return StreamingResponse(_parts(noted, go_on))

    @app.get("/file", dependencies=needs_get)
    async def file() -> Any:
        return StreamingResponse(_parts(noted, go_on), headers={"content-length": "6"})

    @app.get("/answer", dependencies=needs_get)
    async def answer(later: BackgroundTasks) -> Any:
        await go_on.wait()

        async def complete() -> None:
            await asyncio.sleep(0.3)
            noted.append("completed")

        later.add_task(complete)
        return "onetwo"

    @app.websocket("/feed", dependencies=needs_get)
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await go_on.wait()
            await websocket.close()
        finally:
            noted.append("closed")

    return app


Make = Callable[[FakeVerifier, Noted, asyncio.Event], Any]
APPS = {"asgi": _asgi, "fastapi": _fastapi}


@pytest.fixture(params=APPS)
def make(request: pytest.FixtureRequest) -> Make:
    return APPS[request.param]


Meanwhile = Callable[[Any, asyncio.Event], Awaitable[None]]


def connected(
    make: Make, verifier: FakeVerifier, noted: Noted, talk: Meanwhile, target: str, **more: Any
) -> None:
    """Serve a connection while *talk* runs."""

    async def run() -> None:
        go_on = asyncio.Event()
        token = verifier.token(GET)
        kind = "websocket" if target == "/feed" else "http"
        connection = Connection(make(verifier, noted, go_on), kind, target, token, **more)
        connection.token = token  # type: ignore[attr-defined] - for this test alone
        await talk(connection, go_on)

    asyncio.run(run())


# --- they end ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["2.3", "2.4"])
@pytest.mark.parametrize("target", ["/stream", "/file"])
def test_a_streaming_answer_stays_incomplete(
    make: Make, gatepass_verifier: FakeVerifier, noted: Noted, target: str, spec: str
) -> None:
    """No final part: the server breaks the connection off. Nothing is raised."""

    async def talk(connection: Any, go_on: asyncio.Event) -> None:
        await connection.until(lambda: connection.body == b"one")
        gatepass_verifier.deactivate(connection.token)
        sent = await connection.end()
        assert connection.body == b"one"
        assert sent[-1]["more_body"] is True
        assert noted == ["closed"]

    asgi = {"version": "3.0", "spec_version": spec}
    connected(make, gatepass_verifier, noted, talk, target, asgi=asgi)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda v, token: v.deactivate(token), "token_deactivated"),
        (lambda v, token: v.expire(token), "token_expired"),
        (lambda v, token: v.set_allowlist("192.0.2.0/24"), "company_address_not_allowed"),
        (lambda v, token: v.set_role("charges:create"), "permission_missing"),
        (lambda v, token: v.deactivate_owner(), "account_deactivated"),
        (lambda v, token: v.go_stale(), "stale"),
    ],
)
def test_a_websocket_is_closed_with_the_reason(
    make: Make, gatepass_verifier: FakeVerifier, noted: Noted, change: Any, reason: str
) -> None:
    async def talk(connection: Any, go_on: asyncio.Event) -> None:
        await connection.until(lambda: connection.sent)
        change(gatepass_verifier, connection.token)
        accepted, closed = await connection.end()
        assert accepted["type"] == "websocket.accept"
        assert closed == {"type": "websocket.close", "code": 4001, "reason": reason}
        assert noted == ["closed"]

    connected(make, gatepass_verifier, noted, talk, "/feed")


def test_each_of_several_decisions_counts(gatepass_verifier: FakeVerifier, noted: Noted) -> None:
    """A FastAPI route may require several permissions."""
    guard = Guard(gatepass_verifier)
    app = FastAPI(dependencies=[Depends(guard)])
    needs = [Depends(guard.requires(name)) for name in ("charges:get", "charges:create")]

    @app.get("/stream", dependencies=needs)
    async def stream() -> Any:
        return StreamingResponse(_parts(noted, asyncio.Event()))

    async def run() -> None:
        token = gatepass_verifier.token("charges:get")
        gatepass_verifier.allow_for(token, "charges:create", 60)
        connection = Connection(app, "http", "/stream", token)
        await connection.until(lambda: connection.body)
        gatepass_verifier.advance(60)
        await connection.end()
        assert connection.body == b"one"

    asyncio.run(run())


def test_a_stream_whose_application_ignores_its_end_sends_nothing_more(
    gatepass_verifier: FakeVerifier, caplog: pytest.LogCaptureFixture
) -> None:
    """And what it raises because of that isn't a failure of the server's."""
    tried: Noted = []

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            tried.append("again")
        await send({"type": "http.response.body", "body": b"more", "more_body": True})

    app = GatepassMiddleware(stubborn, gatepass_verifier, permissions=PERMISSIONS)

    async def run() -> None:
        token = gatepass_verifier.token(GET)
        connection = Connection(app, "http", "/stream", token)
        await connection.until(lambda: connection.sent)
        gatepass_verifier.deactivate(token)
        assert [each["type"] for each in await connection.end()] == ["http.response.start"]

    asyncio.run(run())
    assert tried == ["again"]
    assert not [line for line in caplog.records if line.levelname in ("WARNING", "ERROR")]


def test_another_task_of_the_application_receives_nothing_more(
    gatepass_verifier: FakeVerifier,
) -> None:
    """A client may go on sending, and a reader of its own isn't cancelled."""
    got: Messages = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        async def read() -> None:
            while len(got) < 2:
                got.append(await receive())

        await receive()
        await send({"type": "websocket.accept"})
        readers.append(asyncio.create_task(read()))
        await asyncio.Event().wait()

    readers: list[asyncio.Task[None]] = []
    app = GatepassMiddleware(reading, gatepass_verifier, permissions=PERMISSIONS)

    async def run() -> None:
        token = gatepass_verifier.token(GET)
        connection = Connection(app, "websocket", "/feed", token)
        before, after = ({"type": "websocket.receive", "text": each} for each in ("one", "two"))
        connection.receives(before)
        await connection.until(lambda: got)
        gatepass_verifier.deactivate(token)
        await connection.end()
        connection.receives(after)
        await readers[0]
        assert got == [
            before,
            {"type": "websocket.disconnect", "code": 4001, "reason": "token_deactivated"},
        ]

    asyncio.run(run())


# --- and nothing else ends ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/stream", "/file", "/feed"])
def test_what_is_still_allowed_gets_to_its_end(
    make: Make, gatepass_verifier: FakeVerifier, noted: Noted, target: str
) -> None:
    async def talk(connection: Any, go_on: asyncio.Event) -> None:
        await connection.until(lambda: connection.sent)
        other = gatepass_verifier.token(GET)
        gatepass_verifier.deactivate(other)
        await asyncio.sleep(0.2)
        go_on.set()
        last = (await connection.end())[-1]
        if target == "/feed":
            assert (last["type"], last["code"]) == ("websocket.close", 1000)
        else:
            assert connection.body == b"onetwo"
            assert not last.get("more_body")
        assert not gatepass_verifier._watching._watches

    connected(make, gatepass_verifier, noted, talk, target)


def test_an_ordinary_answer_is_completed_and_so_is_what_follows_it(
    make: Make, gatepass_verifier: FakeVerifier, noted: Noted
) -> None:
    """Half of a change is worse than a whole one that was allowed when it began."""

    async def talk(connection: Any, go_on: asyncio.Event) -> None:
        await asyncio.sleep(0.05)
        gatepass_verifier.deactivate(connection.token)
        await asyncio.sleep(0.2)
        go_on.set()
        await connection.end()
        assert b"onetwo" in connection.body
        assert noted == ["completed"]

    connected(make, gatepass_verifier, noted, talk, "/answer")


def test_a_timeout_of_the_applications_own_is_raised(gatepass_verifier: FakeVerifier) -> None:
    async def impatient(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise TimeoutError

    app = GatepassMiddleware(impatient, gatepass_verifier, permissions=PERMISSIONS)

    async def run() -> None:
        await Connection(app, "http", "/stream", gatepass_verifier.token(GET)).end()

    with pytest.raises(TimeoutError):
        asyncio.run(run())


# --- Django ---------------------------------------------------------------------------------------


def test_an_asynchronous_stream_of_django_stays_incomplete(
    gatepass_verifier: FakeVerifier, noted: Noted, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def view(request: Any) -> StreamingHttpResponse:
            return StreamingHttpResponse(_parts(noted, go_on))

        urls = type(sys)("urls")
        urls.__dict__["urlpatterns"] = [path("stream", view)]
        gatepass = {"VERIFIER": lambda: gatepass_verifier, "PERMISSIONS": PERMISSIONS}
        with override_settings(GATEPASS=gatepass, ROOT_URLCONF=urls, MIDDLEWARE=MIDDLEWARE):
            app = ASGIHandler()
            tokens = [gatepass_verifier.token(GET) for _ in range(2)]
            ended, kept = (Connection(app, "http", "/stream", token) for token in tokens)
            await ended.until(lambda: ended.body and kept.body)
            gatepass_verifier.deactivate(tokens[0])
            sent = await ended.end()
            assert ended.body == b"one"
            assert sent[-1]["more_body"] is True
            assert noted == ["closed"]
            go_on.set()
            assert not (await kept.end())[-1].get("more_body")
            assert kept.body == b"onetwo"

    asyncio.run(run())
    assert not gatepass_verifier._watching._watches
    assert not [line for line in caplog.records if line.levelname == "ERROR"]


# --- WSGI -----------------------------------------------------------------------------------------


def _flask(parts: Callable[[], Iterator[bytes]], verifier: FakeVerifier) -> Any:
    import flask

    app = flask.Flask("shop")
    app.add_url_rule("/stream", view_func=lambda: flask.Response(parts()))
    guard: Any = wsgi.GatepassMiddleware(app.wsgi_app, verifier, permissions=PERMISSIONS)
    return guard


def _django(parts: Callable[[], Iterator[bytes]], verifier: FakeVerifier) -> Any:
    from django.core.handlers.wsgi import WSGIHandler

    urls = type(sys)("urls")
    urls.__dict__["urlpatterns"] = [path("stream", lambda request: StreamingHttpResponse(parts()))]
    gatepass = {"VERIFIER": lambda: verifier, "PERMISSIONS": PERMISSIONS}

    def app(environ: Any, start_response: Any) -> Any:
        with override_settings(GATEPASS=gatepass, ROOT_URLCONF=urls, MIDDLEWARE=MIDDLEWARE):
            return WSGIHandler()(environ, start_response)

    return app


@pytest.mark.parametrize("make", [_flask, _django])
def test_a_synchronous_stream_breaks_off(
    gatepass_verifier: FakeVerifier, noted: Noted, make: Any
) -> None:
    """Between two parts: the exception is what servers take for a client that has gone."""
    tokens = [gatepass_verifier.token(GET) for _ in range(2)]

    def parts() -> Iterator[bytes]:
        try:
            yield b"one"
            yield b"two"
            if not noted:
                noted.append("deactivated")
                gatepass_verifier.deactivate(tokens[0])
                watches = gatepass_verifier._watching._watches
                until(lambda: not watches)
            yield b"three"
        finally:
            noted.append("closed")

    app = make(parts, gatepass_verifier)

    def ask(token: str) -> Any:
        lines = [("authorization", f"Bearer {token}")]
        return closing(app(wsgi_environ("GET", "/stream", lines), lambda *_: None))

    with ask(tokens[0]) as answer:
        read = iter(answer)
        assert (next(read), next(read)) == (b"one", b"two")
        with pytest.raises(ConnectionResetError, match="token_deactivated"):
            next(read)
    assert noted == ["deactivated", "closed"]
    with ask(tokens[1]) as answer:
        assert list(answer) == [b"one", b"two", b"three"]
    assert not gatepass_verifier._watching._watches


# --- on real servers ------------------------------------------------------------------------------

BIN = Path(sys.executable).parent
APPLICATION = """
import asyncio, os, time

from gatepass import GatepassMiddleware, open_verifier
from gatepass.embed import wsgi

verifier = open_verifier(os.environ["GRANTS"])
permissions = {"GET /stream": "charges:get"}

async def api(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await asyncio.sleep(3600)

def api_wsgi(environ, start_response):
    start_response("200 OK", [])
    while True:
        yield b"part"
        time.sleep(0.05)

asgi = GatepassMiddleware(api, verifier, permissions=permissions)
wsgi = wsgi.GatepassMiddleware(api_wsgi, verifier, permissions=permissions)
"""
SERVERS = {
    "uvicorn": ("uvicorn", "application:asgi", "--host", "127.0.0.1", "--port", "{port}"),
    "granian": (
        *("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
        "application:asgi",
    ),
    "gunicorn": ("gunicorn", "application:wsgi", "-b", "127.0.0.1:{port}"),
}


@pytest.mark.processes
@pytest.mark.parametrize("server", SERVERS)
def test_a_client_sees_an_incomplete_answer(grants: Grants, tmp_path: Path, server: str) -> None:
    """And the server's log has no traceback."""
    (tmp_path / "application.py").write_text(APPLICATION)
    port, token = free_port(), grants.token()
    command, *arguments = (each.format(port=port) for each in SERVERS[server])
    url = f"http://127.0.0.1:{port}/stream"

    def ask() -> None:
        httpx.get(url)

    environ = {"GRANTS": str(grants.path)}
    with serving([str(BIN / command), *arguments], ask, tmp_path, **environ):
        with (
            httpx.Client(timeout=LIMIT_S) as client,
            client.stream("GET", url, headers={"x-access-token": token}) as answer,
        ):
            parts = answer.iter_raw()
            assert next(parts).startswith(b"part")
            grants.deactivate(token)
            with pytest.raises(httpx.RemoteProtocolError):
                list(parts)
        assert "Traceback" not in (tmp_path / "log").read_text()
