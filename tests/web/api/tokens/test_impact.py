"""Previews of changes over the observed calls, and the narrowest token that would suffice."""

from typing import Any

import httpx
import pytest

from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

HERE, ELSEWHERE = "127.0.0.1", "203.0.113.9"
NUMBERS = ("allowed_before", "refused_after", "unknown", "complete")


@pytest.fixture
def token(installation: Installation) -> str:
    """The id of a token with 20 calls from here and 2 from elsewhere."""
    text = installation.access_token("charges:create", "charges:get", "refunds:get")
    verifier = installation.client(installation.verifier_key())
    read = {"token": text, "method": "GET", "path": "/v1/charges/1", "address": HERE}
    create = {"token": text, "permission": "charges:create", "address": ELSEWHERE}
    calls = {"calls": [read] * 20 + [create] * 2}
    assert verifier.post("/v1/verify/batch", json=calls).status_code == 200
    installation.node.usage.flush()
    installation.node.fold()
    return text[:21]


def numbers(answer: httpx.Response) -> tuple[Any, ...]:
    assert answer.status_code == 200, answer.text
    return tuple(answer.json()[name] for name in NUMBERS)


def test_a_change_of_a_token(installation: Installation, token: str) -> None:
    ada, path = installation.signed_in(), f"/v1/access-tokens/{token}/impact"
    answer = ada.post(path, json={"change": {"networks": ["127.0.0.0/8"]}})
    assert numbers(answer) == (22, 2, 0, True)
    (item,) = answer.json()["items"]
    assert item.pop("first_at") <= item.pop("last_at")
    assert item == {
        "access_token": token,
        "label": "sample",
        "reason": "address_not_allowed",
        "permission": "charges:create",
        "route": None,
        "method": None,
        "address": ELSEWHERE,
        "origin": None,
        "count": 2,
    }
    assert numbers(ada.post(path, json={"change": {}})) == (22, 0, 0, True)
    both = {"change": {"permissions": ["refunds:get"], "expires_at": None}}
    assert [item["count"] for item in ada.post(path, json=both).json()["items"]] == [20, 2]
    wrong = ada.post(path, json={"change": {"networks": ["300.1.1.1"]}})
    assert fields(wrong) == ["change.networks.0"]
    assert fields(ada.post(path, json={})) == ["change"]
    # Repeated with the same key, the answer is the same.
    key = {"Idempotency-Key": "0123456789abcdef"}
    once, again = (ada.post(path, json=both, headers=key) for _ in range(2))
    assert once.json() == again.json()
    other = installation.client(installation.access_token("charges:get"))
    assert reasons(other.post(path, json={"change": {}})) == (403, "permission_missing")


def test_the_previews_of_roles_and_the_allowlist(installation: Installation, token: str) -> None:
    ada = installation.signed_in()
    answer = ada.post("/v1/company/allowlist/preview", json={"entries": [{"network": HERE}]})
    assert numbers(answer) == (22, 2, 0, True)
    assert answer.json()["items"][0]["reason"] == "company_address_not_allowed"
    answer = ada.post("/v1/roles/admin/preview", json={"permissions": ["charges:create"]})
    assert numbers(answer) == (22, 20, 0, True)
    assert ada.post("/v1/roles/rol_x/preview", json={"permissions": ["*"]}).status_code == 404
    answer = ada.post("/v1/roles/admin/preview", json={"permissions": []})
    assert fields(answer) == ["permissions"]


def test_the_narrowest_token(installation: Installation, token: str) -> None:
    ada, path = installation.signed_in(), f"/v1/access-tokens/{token}/suggestion"
    found = ada.get(path).json()
    assert found.pop("basis")["calls"] == 22
    assert found == {
        "permissions": ["charges:create", "charges:get"],
        "networks": [f"{HERE}/32", f"{ELSEWHERE}/32"],
        "domains": [],
        "unused": {"permissions": ["refunds:get"], "networks": [], "domains": []},
    }
    assert ada.get(path, params={"days": 90}).json()["permissions"] == found["permissions"]
    for days in ("0", "91", "x", "1.0"):
        assert fields(ada.get(path, params={"days": days})) == ["days"]
    unused = installation.access_token("charges:get")[:21]
    answer = ada.get(f"/v1/access-tokens/{unused}/suggestion")
    assert (answer.status_code, answer.json()) == (200, None)
