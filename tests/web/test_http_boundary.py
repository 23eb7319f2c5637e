"""The middleware around the framework: body limits, HEAD, headers, the last ``except``."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import Message

from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.app import create_app
from gatepass.web.body_limits import (
    MOST_BODY_BYTES,
    SIGN_IN_BODY_BYTES,
    UNAUTHENTICATED_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    allow_large_body,
    sender_authenticated,
)
from gatepass.web.http_boundary import HttpBoundary
from tests.support.apps.installation import Installation

FORM = b"application/x-www-form-urlencoded"


@pytest.fixture
def length_of_bodies() -> TestClient:
    """An application that answers with the body's length."""
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    return TestClient(HttpBoundary(app, Bodies(), unauthenticated=MOST_BODY_BYTES))


def trickle(length: int) -> Iterator[bytes]:
    while length > 0:
        yield b"x" * min(length, 65_536)
        length -= 65_536


@pytest.mark.parametrize("body", [lambda n: b"x" * n, trickle], ids=["announced", "trickling"])
def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_refused(
    length_of_bodies: TestClient, body: Any
) -> None:
    assert length_of_bodies.post("/length", content=body(MOST_BODY_BYTES)).json() == MOST_BODY_BYTES
    refused = length_of_bodies.post("/length", content=body(MOST_BODY_BYTES + 1))
    assert refused.status_code == 413


def test_unauthenticated_bodies_have_low_limits(installation: Installation) -> None:
    """4 KiB to sign in, 16 KiB elsewhere; a mebibyte with a credential."""

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
        assert post(stranger, path, UNAUTHENTICATED_BODY_BYTES, media_type) == read, path
        assert post(stranger, path, UNAUTHENTICATED_BODY_BYTES + 1, media_type) == 413, path
    assert post(stranger, "/v1/roles", MOST_BODY_BYTES, json) == 401
    assert post(ada, "/v1/roles", MOST_BODY_BYTES, json) == 400
    assert post(stranger, "/company/roles/new", MOST_BODY_BYTES, form) == 401
    assert post(dashboard, "/company/roles/new", MOST_BODY_BYTES - 20, form) == 200


def test_a_form_of_an_expired_sign_in_may_be_large(installation: Installation) -> None:
    """Its input is shown again after signing in."""
    login = installation.sign_in()
    installation.client(login).post("/v1/sign-out")
    dashboard = installation.client()
    dashboard.cookies["gatepass"] = login
    shown = dashboard.post("/company/roles/new", data={"name": "x" * 100_000})
    assert shown.status_code == 401
    assert "your input is kept" in shown.text
    # The sign-in form carries the input.
    assert dashboard.post("/sign-in", data={"typed.name": "x" * 100_000}).status_code == 401


class Arriving:
    """A request whose body arrives in pieces."""

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


def arriving_at_once(
    bodies: Bodies, *requests: tuple[str, int, str], trusted: Sequence[str] = ()
) -> list[int]:
    """The statuses of concurrent requests (path, length, address) whose bodies never end.

    Requests to ``/of/NAME`` have the credential NAME, those to ``/late`` an expired one.
    """

    async def swallowing(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        _, _, name = request.url.path.partition("/of/")
        if name:
            sender_authenticated(scope, name)
        elif request.url.path == "/late":
            allow_large_body(scope)
        await request.body()

    app = FastAPI(routes=[Mount("/", swallowing)])
    boundary = HttpBoundary(app, bodies, trusted=TrustedProxies.of(trusted))

    async def arrive(path: str, length: int, address: str) -> Any:
        one = Arriving([b"x" * length], (b"content-length", str(length + 1).encode()))
        peer, _, forwarded = address.partition(" for ")
        if forwarded:
            one.scope["headers"].append((b"x-forwarded-for", forwarded.encode()))
        one.scope |= {"path": path, "client": (peer, 4711)}
        await boundary(one.scope, one.receive, one.send)
        return one.sent[0]

    async def all_of_them() -> list[int]:
        found = await asyncio.gather(*(arrive(*each) for each in requests))
        assert all((b"retry-after", b"1") in s["headers"] for s in found if s["status"] == 503)
        return [start["status"] for start in found]

    statuses = asyncio.run(all_of_them())
    for budget in (bodies.callers, bodies.services, bodies.unauthenticated, bodies.sign_ins):
        assert budget.held == 0
        assert not budget._by_sender
    return statuses


@pytest.mark.slow
def test_bodies_have_a_memory_limit_and_each_sender_a_share() -> None:
    """A refused body takes no memory from others. Of 16,000 bytes callers have 6,000, each at most
    1,000; unauthenticated senders have 4,000, each address at most 500."""

    def arrive(*requests: tuple[str, int, str]) -> list[int]:
        return arriving_at_once(Bodies(most_held=16_000, seconds=0.2), *requests)

    here, there = "192.0.2.1", "192.0.2.2"
    assert arrive(("/", 300, here), ("/", 300, here), ("/", 200, here)) == [408, 503, 408]
    assert arrive(("/", 500, here), ("/", 1, here), ("/", 500, there)) == [408, 503, 408]
    assert arrive(("/", 500, "2001:db8::1"), ("/", 1, "2001:db8::2")) == [408, 503]
    assert arrive(("/", 500, "2001:db8::1"), ("/", 1, "2001:db8:0:1::1")) == [408, 408]
    assert arrive(("/", 500, "nowhere"), ("/", 1, "elsewhere")) == [408, 503]
    assert arrive(("/of/a", 1_000, here), ("/of/a", 1, there)) == [408, 503]
    assert arrive(("/of/a", 1_000, here), ("/of/b", 1_000, here), ("/", 500, here)) == [408] * 3
    # An expired credential counts as unauthenticated, but allows a large body.
    assert arrive(("/late", 400, here), ("/", 101, here), ("/of/a", 1, here)) == [408, 503, 408]
    many = [f"192.0.2.{last}" for last in range(9)]
    assert arrive(*(("/", 500, each) for each in many)) == [408] * 8 + [503]
    assert arrive(*((f"/of/{each}", 1_000, here) for each in many)) == [408] * 6 + [503] * 3


def test_sign_ins_have_a_budget_of_their_own() -> None:
    """Of 160,000 bytes 20,000, each address at most 1,250. A form larger than any sign-in carries
    typed text along, and doesn't count as a sign-in."""
    here, api, page = "192.0.2.1", "/v1/authentications", "/sign-in"

    def arrive(*requests: tuple[str, int]) -> list[int]:
        bodies = Bodies(most_held=160_000, seconds=0.2)
        return arriving_at_once(bodies, *((*each, here) for each in requests))

    assert arrive(("/", 5_000), ("/", 1), (api, 600), (page, 600)) == [408, 503, 408, 408]
    assert arrive((api, 600), (page, 600), (api, 51), ("/", 5_000)) == [408, 408, 503, 408]
    assert arrive(("/", 1_000), (page, SIGN_IN_BODY_BYTES), (page, 600)) == [408, 503, 408]
    assert arrive((page, SIGN_IN_BODY_BYTES), (page, 1_250)) == [408, 408]


def test_behind_a_proxy_each_client_has_its_share() -> None:
    def arrive(*addresses: str) -> list[int]:
        bodies = Bodies(most_held=16_000, seconds=0.2)
        requests = [("/", 500, each) for each in addresses]
        return arriving_at_once(bodies, *requests, trusted=["10.0.0.0/8"])

    assert arrive("10.0.0.1 for 192.0.2.1", "10.0.0.1 for 192.0.2.2") == [408, 408]
    assert arrive("10.0.0.1 for 192.0.2.1", "10.0.0.2 for 192.0.2.1") == [408, 503]
    # From an untrusted peer the header is ignored.
    assert arrive("11.0.0.1 for 192.0.2.1", "11.0.0.1 for 192.0.2.2") == [408, 503]


def test_services_have_a_budget_of_their_own() -> None:
    bodies = Bodies(most_held=800)
    with ExitStack() as held:
        one, other = (
            held.enter_context(Body(bodies, 1_000, bodies.services, key)) for key in ("a", "b")
        )
        one.receive(100)
        with pytest.raises(BodyRefused):
            one.receive(1)
        other.receive(100)
        with pytest.raises(BodyRefused):
            held.enter_context(Body(bodies, 1_000, bodies.services, "c")).receive(1)
        held.enter_context(Body(bodies, 1_000, bodies.callers, "a")).receive(50)
    assert (bodies.services.held, bodies.callers.held) == (0, 0)


def test_a_too_large_content_length_is_refused_before_anything_is_read(
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
def test_an_incomplete_body_is_400_and_not_logged(
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
def test_an_invalid_content_length_is_refused(installation: Installation, length: str) -> None:
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


def test_head_sends_no_body() -> None:
    """Called without a client, since clients drop such a body."""
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
    asyncio.run(HttpBoundary(app, Bodies())(scope, receive, send))
    start, *bodies = sent
    assert dict(start["headers"])[b"content-length"] == b"6"
    assert b"".join(message["body"] for message in bodies) == b""


def test_answers_forbid_caching_and_sniffing(installation: Installation) -> None:
    for path in ("/v1/openapi.json", "/v1/me", "/v1/nothing", "/metrics"):
        headers = installation.client().get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path


def test_answers_have_no_cors_headers(installation: Installation) -> None:
    """But for those of portal sessions: tests/web/api/test_portal_reach.py"""
    for method in ("GET", "OPTIONS"):
        answer = installation.client().request(
            method,
            "/v1/users",
            headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"},
        )
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_an_unexpected_error_is_500_and_leaks_nothing(
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


def test_a_stream_that_fails_aborts_the_connection() -> None:
    app = FastAPI()

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def parts() -> Iterator[bytes]:
            yield b"half"
            raise RuntimeError

        return StreamingResponse(parts())

    with pytest.raises(RuntimeError):
        TestClient(HttpBoundary(app, Bodies())).get("/stream")
