"""Tests of ``fastapi_app``, which need no Gatepass: ``pytest test_fastapi_app.py``."""

import fastapi_app
import pytest
from fastapi.testclient import TestClient

from gatepass.testing import FakeVerifier


@pytest.fixture
def client(gatepass_verifier: FakeVerifier) -> TestClient:
    """A caller of the application, which decides by the test's own verifier."""
    fastapi_app.guard.verifier = gatepass_verifier
    return TestClient(fastapi_app.app)


def bearer(token: str) -> dict[str, str]:
    """The header of a call with *token*."""
    return {"authorization": f"Bearer {token}"}


def test_a_charge_needs_its_permission(client: TestClient, gatepass_verifier: FakeVerifier) -> None:
    """A token that may do something else is refused."""
    token = gatepass_verifier.token("charges:get", label="the till")
    seen = client.get("/charges/ch_1", headers=bearer(token))
    assert seen.json() == {"id": "ch_1", "asked_by": "the till"}

    other = gatepass_verifier.token("charges:create")
    refused = client.get("/charges/ch_1", headers=bearer(other))
    assert (refused.status_code, refused.json()["reason"]) == (403, "permission_missing")


def test_a_deactivated_token_is_refused(
    client: TestClient, gatepass_verifier: FakeVerifier
) -> None:
    """From the very next call on."""
    token = gatepass_verifier.token("charges:get")
    gatepass_verifier.deactivate(token)
    assert client.get("/charges/ch_1", headers=bearer(token)).status_code == 401
    assert gatepass_verifier.decisions[-1].reason == "token_deactivated"


def test_without_gatepass_nothing_is_served(
    client: TestClient, gatepass_verifier: FakeVerifier
) -> None:
    """The application says so, and is back as soon as Gatepass is."""
    token = gatepass_verifier.token("charges:get")
    gatepass_verifier.go_stale()
    assert client.get("/charges/ch_1", headers=bearer(token)).status_code == 503
    gatepass_verifier.recover()
    assert client.get("/charges/ch_1", headers=bearer(token)).status_code == 200
