"""Tests of ``asgi_app``, which need no Gatepass: ``pytest test_asgi_app.py``."""

import asgi_app
import pytest
from starlette.testclient import TestClient

from gatepass.testing import FakeVerifier


@pytest.fixture
def client(gatepass_verifier: FakeVerifier) -> TestClient:
    """A caller at an address, for tokens that are limited to networks."""
    asgi_app.app.verifier = gatepass_verifier
    return TestClient(asgi_app.app, client=("203.0.113.7", 50_000))


def test_a_token_is_for_its_networks(client: TestClient, gatepass_verifier: FakeVerifier) -> None:
    """The caller's address counts."""
    for network, status in (("203.0.113.0/24", 200), ("198.51.100.0/24", 403)):
        token = gatepass_verifier.token("charges:get", networks=[network])
        assert client.get("/charges/ch_1", headers={"x-access-token": token}).status_code == status


def test_a_token_expires(client: TestClient, gatepass_verifier: FakeVerifier) -> None:
    """Without waiting for it."""
    token = gatepass_verifier.token("charges:get", expires_in=60)
    assert client.get("/charges/ch_1", headers={"x-access-token": token}).status_code == 200
    gatepass_verifier.advance(60)
    refused = client.get("/charges/ch_1", headers={"x-access-token": token})
    assert (refused.status_code, refused.json()["reason"]) == (401, "token_expired")
