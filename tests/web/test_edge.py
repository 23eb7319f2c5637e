"""What every request passes: size, HEAD, headers, the last ``except``."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import Message

from gatepass.web.app import create_app
from gatepass.web.bodies import (
    MOST_BODY_BYTES,
    SIGN_IN_BODY_BYTES,
    STRANGERS_BODY_BYTES,
    Bodies,
    sender_is_known,
)
from gatepass.web.edge import Edge
from installation import Installation

FORM = b"application/x-www-form-urlencoded"


@pytest.fixture
def counting() -> TestClient:
    """An application that says how long the body was."""
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    return TestClient(Edge(app, Bodies(), strangers=MOST_BODY_BYTES))


def trickle(length: int) -> Iterator[bytes]:
    while length > 0:
        yield b"x" * min(length, 65_536)
        length -= 65_536


@pytest.mark.parametrize("body", [lambda n: b"x" * n, trickle], ids=["announced", "trickling"])
def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_refused(
    counting: TestClient, body: Any
) -> None:
    assert counting.post("/length", content=body(MOST_BODY_BYTES)).json() == MOST_BODY_BYTES
    refused = counting.post("/length", content=body(MOST_BODY_BYTES + 1))
    assert refused.status_code == 413


def test_a_sender_whom_nobody_knows_may_send_little(installation: Installation) -> None:
    """4 KiB to sign in, 16 KiB elsewhere; whoever shows a credential, a mebibyte."""

    def post(client: TestClient, path: str, length: int, media_type: str) -> int:
        body = b'{"email": "' + b"x" * (length - 11)
        headers = {"Content-Type": media_type}
        return client.post(path, content=body, headers=headers, follow_redirects=False).status_code

    stranger, ada = installation.client(), installation.signed_in()
    dashboard = installation.client()
    dashboard.cookies["gatepass"] = installation.sign_in()
    json, form = "application/json", FORM.decode()
    assert post(stranger, "/v1/authentications", SIGN_IN_BODY_BYTES, json) == 400
    assert post(stranger, "/v1/authentications", SIGN_IN_BODY_BYTES + 1, json) == 413
    assert post(ada, "/v1/authentications", SIGN_IN_BODY_BYTES + 1, json) == 413
    for path, media_type, read in (
        ("/v1/invitations/accept", json, 400),
        ("/sign-in", form, 401),
        ("/password-resets", form, 200),
    ):
        assert post(stranger, path, STRANGERS_BODY_BYTES, media_type) == read, path
        assert post(stranger, path, STRANGERS_BODY_BYTES + 1, media_type) == 413, path
    assert post(stranger, "/v1/roles", MOST_BODY_BYTES, json) == 401
    assert post(ada, "/v1/roles", MOST_BODY_BYTES, json) == 400
    assert post(stranger, "/company/roles/new", MOST_BODY_BYTES, form) == 401
    assert post(dashboard, "/company/roles/new", MOST_BODY_BYTES - 20, form) == 200


def test_a_form_whose_sign_in_has_ended_may_be_a_large_one(installation: Installation) -> None:
    """What was typed is shown again after signing in (``resuming``)."""
    login = installation.sign_in()
    installation.client(login).post("/v1/sign-out")
    dashboard = installation.client()
    dashboard.cookies["gatepass"] = login
    shown = dashboard.post("/company/roles/new", data={"name": "x" * 100_000})
    assert shown.status_code == 401
    assert "What you typed is there again" in shown.text
    # The sign-in form carries it along.
    assert dashboard.post("/sign-in", data={"typed.name": "x" * 100_000}).status_code == 401


class Arriving:
    """A request whose body arrives piece by piece."""

    def __init__(self, pieces: list[bytes], *headers: tuple[bytes, bytes]) -> None:
        self.pieces = pieces
        self.sent: list[Message] = []
        self.scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/length"}
        self.scope |= {"query_string": b"", "headers": list(headers)}

    async def receive(self) -> Message:
        if not self.pieces:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": True}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def test_all_bodies_of_a_process_have_one_ceiling() -> None:
    """Half of it is out of reach for those whom nobody knows; what has ended makes room."""
    bodies = Bodies(most_held=1_000, seconds=0.2)

    async def swallowing(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        if request.url.path == "/known":
            sender_is_known(scope)
        await request.body()

    edge = Edge(FastAPI(routes=[Mount("/", swallowing)]), bodies)

    async def arrive(path: str, length: int) -> Any:
        one = Arriving([b"x" * length], (b"transfer-encoding", b"chunked"))
        one.scope["path"] = path
        await edge(one.scope, one.receive, one.send)
        return one.sent[0]

    async def both(*requests: tuple[str, int]) -> list[int]:
        found = await asyncio.gather(*(arrive(*each) for each in requests))
        if any(start["status"] == 503 for start in found):
            assert all((b"retry-after", b"1") in s["headers"] for s in found if s["status"] == 503)
        return [start["status"] for start in found]

    assert asyncio.run(both(("/", 300), ("/", 300))) == [408, 503]
    assert asyncio.run(both(("/", 300), ("/known", 700))) == [408, 408]
    assert asyncio.run(both(("/known", 900), ("/known", 200))) == [408, 503]
    assert asyncio.run(both(("/known", 400), ("/", 200), ("/", 50))) == [408, 503, 408]
    assert bodies.held == 0


def test_an_announced_length_is_believed_before_anything_is_read(
    installation: Installation,
) -> None:
    for length in (MOST_BODY_BYTES + 1, "9" * 400):
        refused = installation.client().post(
            "/v1/authentications", content=b"{}", headers={"Content-Length": str(length)}
        )
        assert refused.status_code == 413
        assert refused.json()["reason"] == "body_too_large"
        assert refused.headers["content-type"] == "application/problem+json"


def test_a_trickling_body_is_refused_with_a_problem_document(installation: Installation) -> None:
    refused = installation.client().post(
        "/v1/authentications",
        content=trickle(MOST_BODY_BYTES + 1),
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
    asyncio.run(Edge(app, Bodies())(scope, receive, send))
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
        TestClient(Edge(app, Bodies())).get("/stream")
