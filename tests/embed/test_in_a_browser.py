"""A page of another origin in a real Chromium: what it may ask, read, and open."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.browser.chromium import chromium
from tests.support.grants.grant_file_fixture import new_grant_file
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving

pytestmark = [pytest.mark.processes, pytest.mark.browser]

APPLICATION = """
import os

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route, WebSocketRoute

from gatepass import GatepassMiddleware, open_verifier


async def page(request):
    return HTMLResponse("a page")


async def charge(request):
    return JSONResponse({"id": request.path_params["id"]})


async def feed(websocket):
    await websocket.accept()
    await websocket.send_json(dict(websocket.headers))
    await websocket.close()


app = GatepassMiddleware(
    Starlette(
        routes=[
            Route("/page", page),
            Route("/charges/{id}", charge, methods=["GET", "PUT"]),
            WebSocketRoute("/feed", feed),
        ]
    ),
    open_verifier(os.environ["GRANTS"]),
    permissions={
        "GET /charges/{id}": "charges:get",
        "PUT /charges/{id}": "charges:create",
        "GET /feed": "charges:get",
    },
    exempt=["GET /page"],
    cors=True,
)
"""
CALL = """([url, method, headers]) => fetch(url, {method, headers}).then(
    answer => answer.json().then(said => [answer.status, said.id || said.reason]),
    () => 'failed')"""
OPEN = """([url, protocols]) => new Promise(done => {
    const socket = new WebSocket(url, protocols);
    socket.onmessage = message => done([socket.protocol, message.data]);
    socket.onclose = event => done(['closed', '']);
})"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[Any, str, str]]:
    """A page, the address of an API elsewhere, and a token for it."""
    grants = new_grant_file(tmp_path / "gatepass.db")
    (tmp_path / "served.py").write_text(APPLICATION)
    ports = [free_port(), free_port()]
    command = [sys.executable, "-m", "hypercorn", "served:app"]
    for port in ports:
        command += ["--bind", f"127.0.0.1:{port}"]
    address = f"http://127.0.0.1:{ports[0]}/page"
    found = {"PYTHONPATH": str(tmp_path), "GRANTS": str(grants.path)}
    with serving(command, lambda: httpx.get(address), tmp_path, **found), chromium() as browser:
        page = browser.new_page()
        page.goto(address)
        yield page, f"127.0.0.1:{ports[1]}", grants.token()


def test_a_page_may_send_what_its_libraries_add_and_read_why_it_was_refused(page: Any) -> None:
    tab, api, token = page

    def call(method: str, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return tab.evaluate(CALL, [f"http://{api}/charges/1", method, named])

    assert call("GET", authorization=f"Bearer {token}") == [200, "1"]
    more = {"idempotency_key": "1", "if_match": '"1"', "sentry_trace": "1", "traceparent": "1"}
    assert call("PUT", x_access_token=token, **more) == [200, "1"]
    assert call("PUT", x_access_token="gpat_wrong", **more) == [401, "token_invalid"]
    assert call("DELETE", x_access_token=token) == "failed"


def test_a_page_may_open_a_websocket_with_a_token(page: Any) -> None:
    """A browser gives up a connection that answers none of the sub-protocols it has offered."""
    tab, api, token = page

    def opened(*protocols: str) -> Any:
        return tab.evaluate(OPEN, [f"ws://{api}/feed", protocols])

    protocol, headers = opened("gatepass", token)
    assert protocol == "gatepass"
    assert token not in headers
    protocol, headers = opened("gatepass", token, "chat.v1")
    assert protocol == "chat.v1"
    assert token not in headers
    assert '"sec-websocket-protocol":"chat.v1"' in headers.replace(" ", "")
    assert opened("gatepass", "gpat_wrong") == ["closed", ""]
    assert opened("chat.v1") == ["closed", ""]
