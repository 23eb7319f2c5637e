"""Importing an application opens and waits for nothing, whichever framework it uses."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gatepass import GatepassMiddleware, Misconfigured, Verifier
from gatepass.embed.fastapi import Guard
from gatepass.embed.gate import VerifierSource
from gatepass.embed.wsgi import GatepassMiddleware as WSGIMiddleware
from gatepass.testing import FakeVerifier
from gatepass.verify.replica import following
from tests.support.apps.framework_apps import GUARDED_APPS, asgi_call
from tests.support.feed.scripted_feed import KEY, ScriptedFeed
from tests.support.processes.ports import free_port

ROUTES = {"GET /charges/{id}": "charges:get"}


async def _api(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


#: Guards that take a verifier or a function that opens one.
GUARDS: dict[str, Callable[[VerifierSource], Any]] = {
    "asgi": lambda source: GatepassMiddleware(_api, source, permissions=ROUTES),
    "wsgi": lambda source: WSGIMiddleware(lambda *_: [], source, permissions=ROUTES),
    "fastapi": lambda source: Guard(source),
}


@pytest.fixture(params=["a silent server", "a closed port", "an unknown name"])
def away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The address of a server that is out of reach."""
    # A wait that must not happen would last a day.
    monkeypatch.setattr(following, "FIRST_COPY_SECONDS", 86_400.0)
    # Closing doesn't wait for an answer of the silent one.
    monkeypatch.setattr(following, "_CLOSE_SECONDS", 0.0)
    with ScriptedFeed() as feed:
        over = threading.Event()
        feed.script = lambda connection: over.wait(60)
        yield {
            "a silent server": feed.url,
            "a closed port": f"http://127.0.0.1:{free_port()}",
            "an unknown name": "https://gatepass.invalid",
        }[request.param]
        over.set()


@pytest.mark.parametrize("name", GUARDED_APPS)
def test_making_an_application_waits_for_no_server(name: str, away: str, tmp_path: Path) -> None:
    """Also where the verifier itself is opened at import."""
    verifier = Verifier.follow(away, key=KEY.text, directory=tmp_path / "copy")
    GUARDED_APPS[name](verifier)
    assert not verifier.fresh()
    verifier.close()


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_opens_its_verifier_once_when_it_is_needed(name: str) -> None:
    opened: list[FakeVerifier] = []
    several = threading.Barrier(4)

    def verifier() -> FakeVerifier:
        opened.append(FakeVerifier())
        return opened[-1]

    guard = GUARDS[name](verifier)
    assert opened == []

    def first_use(_: int) -> Verifier:
        several.wait()
        found: Verifier = guard.verifier
        return found

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(first_use, range(4)))
    assert found == set(opened)
    assert len(opened) == 1

    guard.verifier = other = FakeVerifier()
    assert guard.verifier is other


def test_asgi_opens_it_when_the_server_starts() -> None:
    """So that the copy is there when the first request is."""
    opened = []

    def verifier() -> FakeVerifier:
        opened.append(FakeVerifier())
        return opened[-1]

    asgi_call(GUARDS["asgi"](verifier), type="lifespan")("GET", "/")
    assert len(opened) == 1


def test_a_verifier_that_cannot_be_opened_lets_nothing_pass() -> None:
    """And is tried again at the next request."""
    tries = []

    def verifier() -> FakeVerifier:
        tries.append(1)
        if len(tries) == 1:
            raise Misconfigured("GATEPASS_URL must be set")
        return FakeVerifier()

    call = asgi_call(GUARDS["asgi"](verifier))
    with pytest.raises(Misconfigured):
        call("GET", "/charges/1")
    assert call("GET", "/charges/1").outcome == "token_missing"
