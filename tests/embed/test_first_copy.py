"""An application's first seconds: importing waits for nothing, its first calls for little."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import path
from fastapi import Depends, FastAPI

from gatepass import GatepassMiddleware, Unavailable, Verifier
from gatepass.embed.fastapi import Guard
from gatepass.embed.wsgi import GatepassMiddleware as WSGIMiddleware
from gatepass.verify.replica import following
from tests.support.apps.framework_apps import MIDDLEWARE, asgi_call, django_site, wsgi_call
from tests.support.feed.scripted_feed import KEY, Connection, ScriptedFeed
from tests.support.grants.grant_fixtures import Samples

from gatepass.embed.django import exempt, requires  # isort: skip - after Django was set up
from tests.support.processes.ports import free_port

ROUTES = {"permissions": {"GET /charges": "charges:get"}, "exempt": ["GET /health"]}


@pytest.fixture(autouse=True)
def for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that must not happen would last a day."""
    monkeypatch.setattr(following, "FIRST_COPY_SECONDS", 86_400.0)


class Slow(ScriptedFeed):
    """A feed that answers nobody before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        good = self.script

        def script(connection: Connection) -> None:
            self.go.wait(60)
            good(connection)

        self.script = script


@pytest.fixture
def feed(samples: Samples) -> Iterator[Slow]:
    with Slow() as feed:
        feed.commit(*samples.records)
        yield feed
        feed.go.set()


@pytest.fixture
def follow(feed: Slow, tmp_path: Path) -> Iterator[Callable[..., Verifier]]:
    made = []

    def follow(url: str = feed.url, **more: Any) -> Verifier:
        made.append(Verifier.follow(url, key=KEY.text, directory=tmp_path / "copy", **more))
        return made[-1]

    yield follow
    for each in made:
        each.close()


def test_following_begins_at_once_and_the_first_check_waits(
    samples: Samples, feed: Slow, follow: Callable[..., Verifier]
) -> None:
    verifier = follow()
    threading.Timer(0.3, feed.go.set).start()
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed


def test_nobody_waits_for_a_server_that_is_away(
    samples: Samples, follow: Callable[..., Verifier]
) -> None:
    verifier = follow(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable) as raised:
        verifier.check(samples.texts["good"], permission="charges:get")
    assert raised.value.reason == "stale"


def test_who_asks_for_no_wait_gets_none(samples: Samples, follow: Callable[..., Verifier]) -> None:
    verifier = follow(wait=0)
    with pytest.raises(Unavailable):
        verifier.check(samples.texts["good"], permission="charges:get")


def test_a_script_may_wait_where_it_follows(
    samples: Samples, feed: Slow, follow: Callable[..., Verifier]
) -> None:
    threading.Timer(0.3, feed.go.set).start()
    verifier = follow(wait=30)
    assert verifier.fresh()


def test_a_check_never_blocks_an_event_loop(
    samples: Samples, follow: Callable[..., Verifier]
) -> None:
    verifier = follow()

    async def check() -> None:
        verifier.check(samples.texts["good"], permission="charges:get")

    with pytest.raises(Unavailable):
        asyncio.run(check())


async def _api(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"seen"})


def _fastapi(verifier: Verifier) -> Any:
    guard = Guard(verifier)
    app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)

    @app.get("/charges", dependencies=[Depends(guard.requires("charges:get"))])
    async def charges() -> None: ...

    @app.get("/health", dependencies=[Depends(guard.exempt)])
    async def health() -> None: ...

    return app


def _asgi(verifier: Verifier) -> Any:
    return GatepassMiddleware(_api, verifier, **ROUTES)


@pytest.mark.parametrize("make", [_asgi, _fastapi])
def test_first_calls_wait_without_holding_up_the_event_loop(
    make: Callable[[Verifier], Any], samples: Samples, feed: Slow, follow: Callable[..., Verifier]
) -> None:
    """Calls of others, exempt ones, are answered meanwhile, on the same loop."""
    app = make(follow())

    async def status(target: str) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        token = samples.texts["good"].encode()
        scope = {
            "type": "http",
            "method": "GET",
            "path": target,
            "raw_path": target.encode(),
            "query_string": b"",
            "headers": [(b"x-access-token", token)],
            "client": ("203.0.113.9", 1),
        }
        await app(scope, receive, send)
        return int(sent[0]["status"])

    async def both() -> None:
        first = asyncio.create_task(status("/charges"))
        await asyncio.sleep(0.1)
        assert await status("/health") == 200
        assert not first.done()
        feed.go.set()
        assert await first == 200

    asyncio.run(both())


def test_first_calls_wait_in_a_thread(
    samples: Samples, feed: Slow, follow: Callable[..., Verifier]
) -> None:
    def api(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"seen"]

    call = wsgi_call(WSGIMiddleware(api, follow(), **ROUTES))
    assert call("GET", "/health").status == 200
    threading.Timer(0.3, feed.go.set).start()
    assert call("GET", "/charges", [("x-access-token", samples.texts["good"])]).status == 200


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("middleware", [[], MIDDLEWARE])
@pytest.mark.parametrize("by_routes", [False, True])
def test_first_calls_wait_in_django(
    by_routes: bool,
    middleware: list[str],
    asynchronous: bool,
    samples: Samples,
    feed: Slow,
    follow: Callable[..., Verifier],
) -> None:
    from django.http import HttpResponse
    from django.views import View

    async def later(request: Any) -> HttpResponse:
        return HttpResponse("seen")

    @requires("charges:get")
    class Charges(View):
        async def get(self, request: Any) -> HttpResponse:
            return await later(request)

    verifier = follow()
    settings: dict[str, Any] = {"VERIFIER": lambda: verifier}
    if by_routes:
        settings |= {"PERMISSIONS": ROUTES["permissions"], "EXEMPT": ROUTES["exempt"]}
    view = Charges.as_view() if middleware else requires("charges:get")(later)
    patterns = [path("charges", view), path("health", exempt(later))]
    with django_site(settings, *patterns, middleware=middleware, asynchronous=asynchronous) as call:
        assert call("GET", "/health").status == 200
        threading.Timer(0.3, feed.go.set).start()
        assert call("GET", "/charges", [("x-access-token", samples.texts["good"])]).status == 200


def test_asgi_on_another_event_loop_refuses_rather_than_waits(
    samples: Samples, follow: Callable[..., Verifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as trio's: nothing there can be waited on without knowing it."""
    from gatepass.verify import first_copy

    monkeypatch.setattr(first_copy, "_on_a_loop", lambda: False)
    call = asgi_call(_asgi(follow()))
    assert call("GET", "/charges", [("x-access-token", samples.texts["good"])]).outcome == "stale"
