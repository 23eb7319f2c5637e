"""Tests of ``flask_app``, which need no Gatepass: ``pytest test_flask_app.py``."""

import flask_app
import pytest
from flask.testing import FlaskClient

from gatepass.testing import FakeVerifier


@pytest.fixture
def client(gatepass_verifier: FakeVerifier) -> FlaskClient:
    """A caller of the application, which decides by the test's own verifier."""
    flask_app.guard.verifier = gatepass_verifier
    return flask_app.app.test_client()


def test_a_charge_needs_its_permission(
    client: FlaskClient, gatepass_verifier: FakeVerifier
) -> None:
    """The token may see charges while its owner may."""
    token = gatepass_verifier.token("charges:get", label="the till")
    seen = client.get("/charges/ch_1", headers={"x-access-token": token})
    assert seen.get_json() == {"id": "ch_1", "asked_by": "the till"}

    gatepass_verifier.set_role("charges:create")
    refused = client.get("/charges/ch_1", headers={"x-access-token": token})
    assert refused.get_json()["reason"] == "permission_missing"


def test_a_charge_needs_a_token(client: FlaskClient) -> None:
    """Without one the answer says how to authenticate."""
    refused = client.get("/charges/ch_1")
    assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (401, "Bearer")
