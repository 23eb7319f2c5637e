"""``/v1/audit-events``: every change, without secrets."""

from tests.support.apps.installation import PASSWORD, Installation


def test_every_change_has_an_event_without_secrets(
    any_installation: Installation,
) -> None:
    ada = any_installation.signed_in()
    made = ada.post(
        "/v1/access-tokens",
        json={
            "label": "Nightly",
            "kind": "api",
            "permissions": ["charges:get"],
            "expires_at": "2126-12-24T00:00:00Z",
        },
    ).json()
    path = f"/v1/access-tokens/{made['id']}"
    ada.patch(path, json={"label": "Daily"}, headers={"X-Forwarded-For": "203.0.113.9"})
    ada.patch(path, json={"label": "Daily"})
    ada.post(path + "/deactivate")
    ada.post(path + "/deactivate")
    answer = ada.get("/v1/audit-events", params={"subject": made["id"]})
    # On PostgreSQL the node runs, and completes the receipt.
    ended, modified, created = (
        event
        for event in answer.json()["items"]
        if event["action"] != "access_token.refused_everywhere"
    )
    assert created["action"] == "access_token.created"
    assert created["actor"]["id"] == any_installation.ada.id
    assert created["actor"]["kind"] == "user"
    assert created["actor"]["name"] == "Ada Lovelace"
    assert created["actor"]["credential"].startswith("gplt_")
    assert created["address"] == "127.0.0.1"
    assert created["subject"] == {"kind": "access_token", "id": made["id"], "name": "Nightly"}
    assert created["after"]["expires_at"] == "2126-12-24T00:00:00.000Z"
    assert created["sentence"] == "Ada Lovelace created the access token Nightly"
    assert modified["action"] == "access_token.modified"
    assert (modified["before"], modified["after"]) == ({"label": "Nightly"}, {"label": "Daily"})
    assert modified["address"] == "203.0.113.9"
    assert ended["action"] == "access_token.deactivated"
    assert ended["after"]["deactivated_at"] == ended["at"]
    everything = ada.get("/v1/audit-events").text
    assert made["token"][21:] not in everything
    assert PASSWORD not in everything


def test_events_are_found_by_time_action_and_user(installation: Installation) -> None:
    ada = installation.signed_in()
    (latest,) = ada.get("/v1/audit-events", params={"limit": 1}).json()["items"]

    def count(**query: str) -> int:
        return len(ada.get("/v1/audit-events", params=query).json()["items"])

    total = count()
    assert count(since=latest["at"]) >= 1
    assert count(until=latest["at"]) + count(since=latest["at"]) == total
    assert count(action="authentication.created") == 1
    assert count(user=installation.ada.id) == 1
    assert count(user="usr_nobody") == 0


def test_a_company_sees_only_its_own_events(installation: Installation) -> None:
    eve, ada = installation.of_another_company("eve@example.com"), installation.signed_in()
    assert "Ada Lovelace" not in eve.get("/v1/audit-events").text
    assert "Difference" not in ada.get("/v1/audit-events").text


def test_reading_needs_audit_get(installation: Installation) -> None:
    installation.new_user("bob@example.com", role="customer-service")
    refused = installation.signed_in("bob@example.com").get("/v1/audit-events")
    assert (refused.status_code, refused.json()["reason"]) == (403, "permission_missing")
    assert 'scope="audit:get"' in refused.headers["www-authenticate"]
    installation.new_user("rae@example.com", role="reporting")
    assert installation.signed_in("rae@example.com").get("/v1/audit-events").status_code == 200
