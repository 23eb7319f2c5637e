"""Tests of ``django_app``, which need no Gatepass: ``pytest test_django_app.py``."""

from collections.abc import Iterator

import django_app
import pytest
from django.test import Client, override_settings

from gatepass.testing import FakeVerifier


@pytest.fixture
def client(gatepass_verifier: FakeVerifier) -> Iterator[Client]:
    """A caller of the site, which decides by the test's own verifier."""
    settings = {**django_app.GATEPASS, "VERIFIER": lambda: gatepass_verifier}
    with override_settings(GATEPASS=settings):
        yield Client()


def test_a_charge_needs_its_permission(client: Client, gatepass_verifier: FakeVerifier) -> None:
    """A token that may do something else is refused."""
    token = gatepass_verifier.token("charges:get", label="the till")
    seen = client.get("/charges/ch_1", headers={"x-access-token": token})
    assert seen.json() == {"id": "ch_1", "asked_by": "the till"}

    other = gatepass_verifier.token("charges:create")
    refused = client.get("/charges/ch_1", headers={"x-access-token": other})
    assert (refused.status_code, refused.json()["reason"]) == (403, "permission_missing")


def test_the_tokens_of_an_owner_end_with_the_owner(
    client: Client, gatepass_verifier: FakeVerifier
) -> None:
    """Those of other owners don't."""
    token = gatepass_verifier.token("charges:get", owner="usr_ada")
    other = gatepass_verifier.token("charges:get", owner="usr_grace")
    gatepass_verifier.deactivate_owner("usr_ada")
    assert client.get("/charges/ch_1", headers={"x-access-token": token}).status_code == 401
    assert client.get("/charges/ch_1", headers={"x-access-token": other}).status_code == 200
