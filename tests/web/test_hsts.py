"""Strict-Transport-Security is sent if the public URL is https, and only then."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gatepass.web.app import create_app
from tests.support.apps.installation import PASSWORD, Installation

NAME = "strict-transport-security"


def answers(installation: Installation, public_url: str) -> Iterator[httpx.Response]:
    """Pages, API, files, refusals and errors with *public_url* as the setting."""
    installation.node.settings = installation.node.settings.with_(public_url=public_url)
    installation.app = create_app(installation.node)
    client = installation.client()
    html = {"Accept": "text/html"}
    for path in ("/sign-in", "/access-tokens", "/static/x/y", "/favicon.ico", "/v1/me", "/v1/docs"):
        yield client.get(path, headers=html, follow_redirects=False)
    yield client.get("/nowhere", headers=html)
    yield client.get("/health/live")
    yield client.head("/sign-in")
    yield client.post("/v1/verify", json={})
    yield client.get("/v1/feed")
    said: dict[str, Any] = {"email": "ada@example.com", "password": PASSWORD}
    yield client.post("/v1/authentications", json=said)
    yield client.post("/v1/authentications", content=b"{")
    yield client.post("/sign-in", data=said, follow_redirects=False)
    yield client.post("/sign-in", headers={"Sec-Fetch-Site": "cross-site"})
    yield client.post("/v1/authentications", content=b"x" * 2_000_000)


@pytest.mark.parametrize(
    "public_url", ["https://gate.example.com", "https://gate.example.com:8443", "https://192.0.2.7"]
)
def test_every_answer_has_the_header_with_an_https_url(
    installation: Installation, public_url: str
) -> None:
    """For a year, without subdomains."""
    found = {answer.status_code for answer in answers(installation, public_url)}
    assert {200, 201, 303, 401, 403, 404, 413} <= found
    for answer in answers(installation, public_url):
        assert answer.headers.get_list(NAME) == ["max-age=31536000"], answer.url


@pytest.mark.parametrize(
    "public_url",
    [
        "http://gate.example.com",
        "http://127.0.0.1:8787",
        "https://localhost:8787",
        "https://gatepass.localhost",
    ],
)
def test_no_answer_has_the_header_with_http_or_localhost(
    installation: Installation, public_url: str
) -> None:
    """Whatever a proxy says; on localhost a browser would apply it to other services too."""
    for answer in answers(installation, public_url):
        assert NAME not in answer.headers
    client = installation.client()
    assert NAME not in client.get("/sign-in", headers={"X-Forwarded-Proto": "https"}).headers
