"""``/v1/company/allowlist``, and its effect from the next request on."""

from typing import Any

import httpx
import pytest

from gatepass.registry.network_policy import allowlist
from tests.support.apps.installation import Installation
from tests.support.apps.surfaces import decided, gateway, sign_in
from tests.support.browser.page_reader import Visit

PATH = "/v1/company/allowlist"
HERE = {"network": "127.0.0.0/8", "note": "This machine"}
OFFICE = {"network": "203.0.113.0/24", "note": "Office"}
FROM_OFFICE = {"X-Forwarded-For": "203.0.113.9"}
TRIAL_NS = allowlist.TRIAL_MS * 1_000_000
OUTSIDE = (403, "company_address_not_allowed")


def put(client: httpx.Client, *entries: Any, **more: Any) -> httpx.Response:
    options = {name: more.pop(name) for name in ("headers",) if name in more}
    return client.put(PATH, json={"entries": list(entries), **more}, **options)


def said(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("reason")


def test_a_saved_list_is_returned(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    nothing = ada.get(PATH)
    empty = {"entries": [], "trial_until": None, "falls_back_to": None}
    assert (nothing.status_code, nothing.json()) == (200, empty)
    typed = {"network": "203.0.113.77/24"}
    answer = put(ada, HERE, typed, OFFICE, headers={"If-Match": nothing.headers["etag"]})
    assert answer.status_code == 200
    assert answer.json()["entries"] == [HERE, {"network": "203.0.113.0/24", "note": ""}]
    shown = ada.get(PATH)
    assert (shown.json(), shown.headers["etag"]) == (answer.json(), answer.headers["etag"])
    assert put(ada).json() == empty
    assert ada.get(PATH).headers["etag"] == nothing.headers["etag"]


def test_a_conflict_returns_the_current_list(ada: httpx.Client) -> None:
    seen = ada.get(PATH).headers["etag"]
    put(ada, HERE).raise_for_status()
    refused = put(ada, OFFICE, confirm=True, headers={"If-Match": seen})
    assert said(refused) == (409, "changed_meanwhile")
    assert refused.json()["current"] == ada.get(PATH).json()
    assert put(ada, OFFICE, HERE).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "entries"),
        ({"entries": None}, "entries"),
        ({"entries": ["10.0.0.0/8"]}, "entries.0"),
        ({"entries": [{"network": 10}]}, "entries.0.network"),
        ({"entries": [HERE, {"network": "10.0.0.0/0"}]}, "entries.1.network"),
        ({"entries": [{**HERE, "note": "x" * 101}]}, "entries.0.note"),
        ({"entries": [{**HERE, "bits": 8}]}, "entries.0.bits"),
        ({"entries": [], "confirm": "yes"}, "confirm"),
        ({"entries": [{"network": "10.0.0.1"}] * 10_001}, "entries"),
    ],
)
def test_an_invalid_field_is_named(ada: httpx.Client, body: Any, field: str) -> None:
    refused = ada.put(PATH, json=body)
    assert said(refused) == (422, "invalid")
    assert field in [error["field"] for error in refused.json()["errors"]]
    if "confirm" not in body:
        assert ada.post(f"{PATH}/preview", json=body).status_code == 422


def test_each_operation_needs_its_permission(installation: Installation, ada: httpx.Client) -> None:
    for role in ("manager", "reporting", "customer-service"):
        installation.new_user(f"{role}@example.com", role=role)
    manager = installation.signed_in("manager@example.com")
    assert manager.get(PATH).status_code == 200
    assert installation.signed_in("reporting@example.com").get(PATH).status_code == 200
    service = installation.signed_in("customer-service@example.com")
    assert said(service.get(PATH)) == (403, "permission_missing")
    token = installation.client(installation.access_token("company:*"))
    assert token.get(PATH).status_code == 200
    for client, reason in ((manager, "permission_missing"), (token, "signed_in_user_required")):
        assert said(put(client, HERE)) == (403, reason)
        assert said(client.post(f"{PATH}/preview", json={"entries": []})) == (403, reason)
    put(ada, HERE, OFFICE).raise_for_status()
    assert installation.of_another_company().get(PATH).json()["entries"] == []


def test_the_list_applies_everywhere_from_the_next_request(any_installation: Installation) -> None:
    login, token = any_installation.sign_in(), any_installation.access_token("charges:get")
    visit = Visit.signed_in(any_installation.client())
    ada = any_installation.client(login)
    assert said(put(ada, OFFICE)) == (409, "would_lock_you_out")
    assert ada.get("/v1/me").status_code == 200
    assert visit.get("/access-tokens").answer.status_code == 200

    started = put(ada, OFFICE, confirm=True)
    assert started.status_code == 200
    for path in ("/v1/me", PATH, "/v1/access-tokens", "/v1/authentications"):
        assert said(ada.get(path)) == OUTSIDE
    assert said(put(ada)) == OUTSIDE
    assert said(any_installation.client(token).get("/v1/me")) == OUTSIDE
    for path in ("/", "/access-tokens", "/company/security", "/authentications"):
        assert visit.get(path).answer.status_code == 403, path
    assert sign_in(any_installation) == (401, "sign_in_failed")
    for one in (token, login):
        assert decided(any_installation, one, "127.0.0.1") == OUTSIDE
        assert gateway(any_installation, one, "198.51.100.1") == OUTSIDE

    assert sign_in(any_installation, headers=FROM_OFFICE) == (201, None)
    assert ada.get("/v1/me", headers=FROM_OFFICE).status_code == 200
    assert visit.get("/access-tokens", headers=FROM_OFFICE).answer.status_code == 200
    for one in (token, login):
        assert decided(any_installation, one, "203.0.113.9") == (200, "allowed")
        assert gateway(any_installation, one, "203.0.113.9") == (204, None)


@pytest.mark.usefixtures("tolerant_of_clock_differences")
def test_a_trial_ends_with_the_previous_list(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    put(ada, HERE).raise_for_status()
    before = ada.get(PATH)
    started = put(ada, OFFICE, confirm=True).json()
    assert (started["entries"], started["falls_back_to"]) == ([OFFICE], [HERE])
    assert ada.get(PATH, headers=FROM_OFFICE).json() == started
    any_installation.node.clock.offset_ns += TRIAL_NS - 2_000_000_000
    assert said(ada.get("/v1/me")) == OUTSIDE
    any_installation.node.clock.offset_ns += 2_000_000_000
    after = ada.get(PATH)
    assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])
    assert said(ada.get("/v1/me", headers=FROM_OFFICE)) == OUTSIDE


def test_saving_again_from_an_allowed_address_ends_the_trial(installation: Installation) -> None:
    ada = installation.signed_in()
    put(ada, OFFICE, confirm=True).raise_for_status()
    kept = put(ada, OFFICE, headers=FROM_OFFICE).json()
    assert kept == {"entries": [OFFICE], "trial_until": None, "falls_back_to": None}
    installation.node.clock.offset_ns += 2 * TRIAL_NS
    assert said(ada.get("/v1/me")) == OUTSIDE
    assert ada.get("/v1/me", headers=FROM_OFFICE).status_code == 200
    events = ada.get("/v1/audit-events", headers=FROM_OFFICE).json()["items"]
    changed, started = (one for one in events if one["action"].startswith("allowlist."))
    assert (changed["action"], started["action"]) == (
        "allowlist.changed",
        "allowlist.trial_started",
    )
    assert started["after"]["trial_until"].endswith("Z")


def test_a_preview_names_the_users_it_would_refuse(any_installation: Installation) -> None:
    bob = any_installation.new_user("bob@example.com", "Bob", role="reporting")
    any_installation.signed_in("bob@example.com", peer="198.51.100.1")
    ada = any_installation.signed_in()
    found = ada.post(f"{PATH}/preview", json={"entries": [HERE]}).json()
    [only] = found["shut_out"]["users"]
    assert only.pop("at").endswith("Z")
    assert only == {"id": bob.id, "name": "Bob", "address": "198.51.100.1"}
    assert found["shut_out"]["user_count"] == 1
    assert (found["shut_out"]["tokens"], found["includes_you"]) == ([], True)
    outside = ada.post(f"{PATH}/preview", json={"entries": [OFFICE]}).json()
    assert outside["includes_you"] is False
    assert outside["shut_out"]["user_count"] == 2
    assert ada.get(PATH).json()["entries"] == []
