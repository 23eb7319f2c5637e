"""What every request passes: size, HEAD, headers, the last ``except``."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient
from starlette.types import Message

from gatepass.web.app import create_app
from gatepass.web.edge import MAX_BODY, Edge
from installation import Installation

FORM = b"application/x-www-form-urlencoded"


@pytest.fixture
def counting() -> TestClient:
    """An application that says how long the body was."""
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    return TestClient(Edge(app))


def trickle(length: int) -> Iterator[bytes]:
    while length > 0:
        yield b"x" * min(length, 65_536)
        length -= 65_536


@pytest.mark.parametrize("body", [lambda n: b"x" * n, trickle], ids=["announced", "trickling"])
def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_refused(
    counting: TestClient, body: Any
) -> None:
    assert counting.post("/length", content=body(MAX_BODY)).json() == MAX_BODY
    refused = counting.post("/length", content=body(MAX_BODY + 1))
    assert refused.status_code == 413


def test_an_announced_length_is_believed_before_anything_is_read(
    installation: Installation,
) -> None:
    for length in (MAX_BODY + 1, "9" * 400):
        refused = installation.client().post(
            "/v1/authentications", content=b"{}", headers={"Content-Length": str(length)}
        )
        assert refused.status_code == 413
        assert refused.json()["reason"] == "body_too_large"
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_trickling_body_is_refused_with_a_problem_document(installation: Installation) -> None:
    refused = installation.client().post(
        "/v1/authentications",
        content=trickle(MAX_BODY + 1),
        headers={"Content-Type": "application/json"},
    )
    assert (refused.status_code, refused.json()["reason"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["/v1/authentications", "/v1/sign-out", "/sign-in"])
def test_a_body_that_breaks_off_is_the_clients_fault(
    installation: Installation, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    login = installation.sign_in()
    media_type = b"application/json" if path.startswith("/v1/") else FORM
    parts: list[Message] = [
        {"type": "http.request", "body": b"{}", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return parts.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + login.encode()), (b"content-type", media_type)]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "scheme": "http"}
    scope |= {"headers": headers, "client": ("127.0.0.1", 1), "server": ("gatepass.test", 80)}

    async def ask() -> None:
        await installation.app(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 400
    assert not caplog.records


@pytest.mark.parametrize("length", ["-1", "abc", "1.5", "", "１"])
def test_a_length_that_is_no_number_is_refused(installation: Installation, length: str) -> None:
    refused = installation.client().post(
        "/v1/authentications", content=b"{}", headers=[(b"Content-Length", length.encode())]
    )
    assert refused.status_code == 400


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/v1/nothing", "/health/live", "/metrics"])
def test_head_is_get_without_the_body(installation: Installation, path: str) -> None:
    client = installation.client()
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert set(head.headers) == set(get.headers)


def test_nothing_of_the_body_is_sent_after_all() -> None:
    """Straight to the application: the clients at hand drop such a body by themselves."""
    app = FastAPI()

    @app.get("/")
    async def text() -> str:
        return "text"

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "HEAD", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(Edge(app)(scope, receive, send))
    start, *bodies = sent
    assert dict(start["headers"])[b"content-length"] == b"6"
    assert b"".join(message["body"] for message in bodies) == b""


def test_answers_are_neither_stored_nor_guessed_at(installation: Installation) -> None:
    for path in ("/v1/openapi.json", "/v1/me", "/v1/nothing", "/metrics"):
        headers = installation.client().get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path


def test_no_answer_opens_the_api_to_other_sites(installation: Installation) -> None:
    for method in ("GET", "OPTIONS"):
        answer = installation.client().request(
            method,
            "/v1/me",
            headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"},
        )
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_nobody_expected_is_a_500_without_details_and_a_log_without_secrets(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    broken = APIRouter()

    @broken.get("/broken")
    def break_(sent: str) -> None:
        try:
            raise KeyError(sent)
        except KeyError as cause:
            raise RuntimeError(sent) from cause

    client = TestClient(create_app(installation.node, extra=[broken]))
    with caplog.at_level(logging.ERROR):
        answer = client.get("/broken?sent=gpat_0000")
    assert (answer.status_code, answer.json()["reason"]) == (500, "internal_error")
    assert "gpat_0000" not in answer.text
    assert "gpat_0000" not in caplog.text
    assert "RuntimeError from builtins.KeyError" in caplog.text
    assert "break_" in caplog.text


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    app = FastAPI()

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def parts() -> Iterator[bytes]:
            yield b"half"
            raise RuntimeError

        return StreamingResponse(parts())

    with pytest.raises(RuntimeError):
        TestClient(Edge(app)).get("/stream")
