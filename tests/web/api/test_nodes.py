"""``/v1/nodes`` for operators, and the receipt of a token's deactivation."""

from typing import Any

import httpx

from tests.support.apps.installation import Installation
from tests.support.apps.problems import reasons
from tests.support.database.small_registry import HOUR
from tests.support.grants.fake_verifiers import STALENESS, acknowledge, complete, register
from tests.support.waiting import until


def nodes(operator: httpx.Client) -> dict[str, dict[str, Any]]:
    answer = operator.get("/v1/nodes")
    assert answer.status_code == 200, answer.text
    return {item["id"]: item for item in answer.json()["items"]}


def test_operators_see_the_verifiers_with_their_states(installation: Installation) -> None:
    node = installation.node
    # Signing in is a change, which a slow machine could make long before the list is read.
    ada = installation.signed_in()
    now = node.clock.now()
    acting = node.database
    limits = {"companies": ["com_1"], "permissions": []}
    register(acting, now - 2 * HOUR, "node_gone")
    register(acting, now - STALENESS - 1_000, "node_stale")
    register(acting, now - 500, "node_behind", limits=limits)
    with node.database.write(now - 3_000):
        pass
    register(acting, now, "node_itself", kind="node")
    register(acting, now, "node_late")
    acknowledge(acting, now, "node_late")
    # Until a second after a change nobody is behind for it.
    with node.database.write(now + HOUR):
        pass
    found = nodes(ada)
    assert {id: item["state"] for id, item in found.items()} == {
        "node_itself": "current",
        "node_late": "current",
        "node_behind": "behind",
        "node_stale": "stale",
        "node_gone": "gone",
    }
    behind = found["node_behind"]
    assert behind["limits"] == limits
    assert (behind["kind"], behind["name"]) == ("embedded", "node_behind.internal")
    assert (behind["version"], behind["address"]) == ("0.1.0", "10.0.0.7")
    assert behind["key_id"] == "gpvk_0000000000000000"
    assert behind["behind_by"] > 0 == behind["revision"]
    assert found["node_late"]["behind_by"] == 1
    assert found["node_itself"]["behind_by"] == 0, "it decides by the database itself"
    assert found["node_itself"]["key_id"] is None is found["node_itself"]["limits"]


def test_the_list_is_paged(installation: Installation) -> None:
    now = installation.node.clock.now()
    register(installation.node.database, now, "node_a", "node_b", "node_c")
    ada = installation.signed_in()
    first = ada.get("/v1/nodes", params={"limit": "2"}).json()
    second = ada.get("/v1/nodes", params={"limit": "2", "cursor": first["next"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == [
        "node_c",
        "node_b",
        "node_a",
    ]
    assert second["next"] is None


def test_only_operators_see_them(installation: Installation) -> None:
    bob = installation.joined("bob@example.com", role="admin")
    token = installation.client(installation.access_token("users:*", "company:get"))
    for client, reason in ((bob, "operator_required"), (token, "signed_in_user_required")):
        assert reasons(client.get("/v1/nodes")) == (403, reason)


def test_a_receipt_fills_and_completes(installation: Installation) -> None:
    node = installation.node
    ada = installation.signed_in()
    now = node.clock.now()
    register(node.database, now, "node_itself", kind="node")
    register(node.database, now, "node_a", "node_b")
    token = installation.access_token("charges:get")[:21]
    path = f"/v1/access-tokens/{token}/receipt"
    assert ada.get(path).status_code == 404, "it hasn't ended"
    ended = ada.post(f"/v1/access-tokens/{token}/deactivate").json()

    def receipt() -> tuple[dict[str, Any], dict[str, str]]:
        answer = ada.get(path)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return found, {each["id"]: each["state"] for each in found["verifiers"]}

    found, states = receipt()
    assert (found["refused_by"], found["of"], found["completed_at"]) == (1, 3, None)
    assert states == {"node_itself": "refusing", "node_a": "waiting", "node_b": "waiting"}
    assert found["at"] == ended["deactivated_at"]
    acknowledge(node.database, node.clock.now(), "node_a")
    found, states = receipt()
    assert (found["refused_by"], states["node_a"]) == (2, "refusing")
    (its,) = (each for each in found["verifiers"] if each["id"] == "node_a")
    assert its["confirmed_at"] >= found["at"]
    assert (its["name"], its["kind"]) == ("node_a.internal", "embedded")
    # The other stops reporting until its lease must have ended.
    long_ago = node.clock.now() - 2 * STALENESS
    assert complete(node.database, long_ago) == 0
    found, states = receipt()
    assert states["node_b"] == "silent"
    assert found["completed_at"] is None
    assert complete(node.database, node.clock.now()) == 1
    found, states = receipt()
    assert (found["refused_by"], found["of"]) == (2, 3)
    assert states["node_b"] == "silent"
    assert found["completed_at"] is not None


def test_a_receipt_needs_the_permission_to_see_the_token(installation: Installation) -> None:
    token = installation.access_token("charges:get")[:21]
    installation.signed_in().post(f"/v1/access-tokens/{token}/deactivate")
    path = f"/v1/access-tokens/{token}/receipt"
    seeing = installation.client(installation.access_token("access-tokens:get"))
    assert seeing.get(path).json()["of"] == 0
    other = installation.client(installation.access_token("charges:get"))
    assert other.get(path).json()["reason"] == "permission_missing"
    assert installation.of_another_company().get(path).status_code == 404


def test_the_node_confirms_its_own_receipt(
    any_installation: Installation,
) -> None:
    node = any_installation.node
    if node.settings.is_sqlite:
        node.reporting.report_and_complete()
    ada = any_installation.signed_in()
    token = any_installation.access_token("charges:get")[:21]
    ada.post(f"/v1/access-tokens/{token}/deactivate")

    def complete() -> bool:
        found = ada.get(f"/v1/access-tokens/{token}/receipt").json()
        return bool(found["refused_by"] == found["of"] == 1)

    until(complete)
    (item,) = nodes(any_installation.signed_in()).values()
    assert item["state"] == "current"
    assert item["address"] == "127.0.0.1:8787"
