"""Admin keys: where they act, and that company, permissions and networks bind on every path."""

import httpx
import pytest

from gatepass.core.decision import Reason
from gatepass.registry.actor import Actor
from gatepass.registry.directory import admin_keys, companies
from gatepass.registry.directory.companies import Company
from tests.support.apps.all_routes import api_routes, page_routes
from tests.support.apps.installation import Installation
from tests.support.apps.problems import reasons

#: What an endpoint needs of an admin key; every other endpoint refuses it.
AREAS = {
    ("GET", "/v1/companies"): "companies",
    ("GET", "/v1/companies/{id}"): "companies",
    ("PATCH", "/v1/companies/{id}"): "companies",
    ("POST", "/v1/companies/{id}/deactivate"): "companies",
    ("PUT", "/v1/companies/by-external-id/{external_id}"): "companies",
    ("POST", "/v1/portal-sessions"): "portal",
    ("POST", "/v1/verifier-keys"): "verifiers",
}
#: Endpoints that read no credential.
OPEN = {
    ("POST", "/v1/authentications"),
    ("POST", "/v1/invitations/accept"),
    ("POST", "/v1/oidc/back-channel-logout"),
    ("POST", "/v1/portal-sessions/redeem"),
}
BODIES = {
    ("PATCH", "/v1/companies/{id}"): {"name": "Renamed"},
    ("PUT", "/v1/companies/by-external-id/{external_id}"): {"name": "Taken over"},
    ("POST", "/v1/portal-sessions"): {
        "company": "com_0000000000000000",
        "owner": {"external_id": "x"},
        "origins": ["https://shop.example"],
        "expires_in": 60,
    },
    ("POST", "/v1/verifier-keys"): {"label": "gateway"},
}


def admin_key(installation: Installation, **limits: object) -> str:
    return installation.do(admin_keys.create, Actor.command_line(), label="Shop", **limits)[1]


def admin(installation: Installation, peer: str = "127.0.0.1", **limits: object) -> httpx.Client:
    return installation.client(admin_key(installation, **limits), peer=peer)


def operations() -> list[tuple[str, str]]:
    return sorted(
        (method, path) for path, route in api_routes() for method in route.methods - {"HEAD"}
    )


def test_operators_create_list_and_deactivate_them(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    made = ada.post(
        "/v1/admin-keys",
        json={
            "label": "Shop",
            "company": any_installation.company.id,
            "permissions": ["tokens", "companies", "tokens"],
            "networks": ["127.0.0.1"],
            "expires_at": "2100-01-01T00:00:00Z",
        },
    )
    assert made.status_code == 201, made.text
    key = made.json()
    text = key.pop("key")
    assert text.startswith(key["id"])
    assert key["permissions"] == ["companies", "tokens"]
    assert (key["company"], key["networks"]) == (any_installation.company.id, ["127.0.0.1/32"])
    assert ada.get("/v1/admin-keys").json()["items"] == [key]
    client = any_installation.client(text)
    assert client.get("/v1/companies").status_code == 200
    ended = ada.post(f"/v1/admin-keys/{key['id']}/deactivate")
    assert ended.json()["status"] == "deactivated"
    assert ada.post(f"/v1/admin-keys/{key['id']}/deactivate").json() == ended.json()
    assert reasons(client.get("/v1/companies")) == (401, "token_deactivated")
    assert ada.post("/v1/admin-keys/gpak_0000000000000000/deactivate").status_code == 404


def test_without_limits_it_may_everything(installation: Installation) -> None:
    made = installation.signed_in().post("/v1/admin-keys", json={"label": "Shop"}).json()
    assert made["permissions"] == list(admin_keys.AREAS)
    assert (made["company"], made["networks"], made["expires_at"]) == (None, [], None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", ""),
        ("company", "com_0000000000000000"),
        ("company", "\0"),
        ("permissions", ["companies", "*"]),
        ("networks", ["everywhere"]),
        ("expires_at", "2020-01-01T00:00:00Z"),
        ("kind", "admin"),
    ],
)
def test_what_is_not_valid_is_422(installation: Installation, field: str, value: object) -> None:
    body = {"label": "Shop", field: value}
    answer = installation.signed_in().post("/v1/admin-keys", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].partition(".")[0] == field


def test_only_operators_manage_them(installation: Installation) -> None:
    bob = installation.joined("bob@example.com", role="admin")
    token = installation.client(installation.access_token("users:manage"))
    key = admin_key(installation)
    for client, reason in (
        (bob, "operator_required"),
        (token, "signed_in_user_required"),
        (installation.client(key), "admin_key"),
    ):
        for method, path in (
            ("GET", "/v1/admin-keys"),
            ("POST", "/v1/admin-keys"),
            ("POST", f"/v1/admin-keys/{key[:21]}/deactivate"),
        ):
            body = {"label": "x"} if path == "/v1/admin-keys" and method == "POST" else None
            assert reasons(client.request(method, path, json=body)) == (403, reason)


def test_every_other_endpoint_and_page_refuses_them(installation: Installation) -> None:
    client = admin(installation)
    found = operations()
    assert set(AREAS) | OPEN <= set(found)
    for method, path in found:
        if (method, path) in AREAS or (method, path) in OPEN:
            continue
        where = path.replace("{id}", "com_0000000000000000")
        answer = client.request(method, where, json=None if method == "GET" else {})
        assert reasons(answer) == (403, "admin_key"), (method, path)
    assert reasons(client.get("/v1/me")) == (403, "admin_key")
    for path in ("/company", "/access-tokens", "/company/admin-keys"):
        assert ("GET", path) in page_routes()
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 403


def test_each_endpoint_needs_its_permission(installation: Installation) -> None:
    for (method, path), area in AREAS.items():
        others = [each for each in admin_keys.AREAS if each != area]
        client = admin(installation, permissions=others)
        where = path.replace("{id}", installation.company.id).replace("{external_id}", "x")
        answer = client.request(method, where, json=BODIES.get((method, path)))
        assert reasons(answer) == (403, "permission_missing"), (method, path)


def test_it_sees_and_changes_its_company_alone(installation: Installation) -> None:
    other = installation.new_company("Difference Engines")
    unlimited = admin(installation)
    unlimited.put("/v1/companies/by-external-id/theirs", json={"name": "Theirs"})
    client = admin(installation, company=installation.company.id)
    for (method, path), area in AREAS.items():
        for reference, external in (
            (other.id, "theirs"),
            ("ext:theirs", "theirs"),
            ("com_0000000000000000", "new"),
        ):
            body = BODIES.get((method, path))
            if area == "verifiers":
                body = {"label": "gateway", "companies": [other.id]}
            if area == "portal":
                body = {**BODIES[method, path], "company": reference}
            if "{" not in path and method == "GET":
                continue
            where = path.replace("{id}", reference).replace("{external_id}", external)
            answer = client.request(method, where, json=body)
            assert reasons(answer) == (404, "not_found"), (method, path)
    listed = client.get("/v1/companies").json()["items"]
    assert [each["id"] for each in listed] == [installation.company.id]
    assert client.get("/v1/companies", params={"external_id": "theirs"}).json()["items"] == []
    assert unlimited.get(f"/v1/companies/{other.id}").json()["name"] == "Difference Engines"
    missing = client.post("/v1/verifier-keys", json={"label": "gateway"})
    assert missing.json()["errors"][0]["field"] == "companies"
    own = client.post(
        "/v1/verifier-keys", json={"label": "gateway", "companies": [installation.company.id]}
    )
    assert own.status_code == 201


def test_networks_allowlist_and_expiry_bind(installation: Installation) -> None:
    listed = admin_key(installation, networks=["203.0.113.0/24"])
    for peer, status in (("203.0.113.9", 200), ("127.0.0.1", 403)):
        answer = installation.client(listed, peer=peer).get("/v1/companies")
        assert answer.status_code == status
    assert answer.json()["reason"] == "address_not_allowed"
    limited = admin_key(installation, company=installation.company.id)
    installation.allow_only("203.0.113.0/24")
    refused = installation.client(limited).get("/v1/companies")
    assert reasons(refused) == (403, "company_address_not_allowed")
    assert installation.client(limited, peer="203.0.113.9").get("/v1/companies").is_success
    # A key of the installation isn't bound by a company's list.
    assert admin(installation).get("/v1/companies").is_success


def test_it_ends_with_its_company(any_installation: Installation) -> None:
    other = any_installation.new_company("Difference Engines")
    client = admin(any_installation, company=other.id)
    ended = admin(any_installation).post(f"/v1/companies/{other.id}/deactivate")
    assert ended.json()["status"] == "deactivated"
    assert reasons(client.get("/v1/companies")) == (401, "account_deactivated")


def test_no_decision_accepts_it(installation: Installation) -> None:
    key = admin_key(installation)
    decision = installation.verify(key, permission="charges:get")
    assert (decision["allowed"], decision["reason"]) == (False, "token_invalid")
    assert "grant" not in decision
    asked = installation.client(key).post(
        "/v1/verify", json={"token": "x", "permission": "charges:get"}
    )
    assert reasons(asked) == (401, "token_invalid")
    assert reasons(installation.client(key[:-1]).get("/v1/companies")) == (401, "token_invalid")
    cookie = installation.client().get("/v1/companies", headers={"Cookie": f"gatepass={key}"})
    assert reasons(cookie) == (401, "token_missing")


def test_its_deeds_are_in_the_audit_log_under_its_label(installation: Installation) -> None:
    key = admin_key(installation)
    client = installation.client(key)
    company = client.put("/v1/companies/by-external-id/1", json={"name": "Customer"}).json()
    installation.new_user("boss@example.com", company=_as_company(installation, company["id"]))
    boss = installation.signed_in("boss@example.com")
    (event,) = boss.get("/v1/audit-events", params={"action": "company.created"}).json()["items"]
    assert event["actor"]["kind"] == "admin_key"
    assert event["actor"]["name"] == "Shop"
    assert event["actor"]["credential"] == key[:21]
    assert event["sentence"] == "The admin key Shop created the company Customer"
    assert key[21:53] not in boss.get("/v1/audit-events").text


def test_a_node_whose_copy_lacks_it_asks_the_registry(installation: Installation) -> None:
    """So a key that was created on one node works at once on another."""
    node = installation.node
    limited = {"company": installation.company.id}
    for limits in ({}, limited):
        key = admin_key(installation, **limits)
        assert node._admit_by_registry(key, {"address": None}).allowed
        wrong = key[:21] + admin_key(installation)[21:]
        assert not node._admit_by_registry(wrong, {"address": None}).allowed
        installation.do(admin_keys.deactivate, Actor.command_line(), key[:21])
        reason = node._admit_by_registry(key, {"address": None}).reason
        assert reason is Reason.token_deactivated


def _as_company(installation: Installation, company: str) -> Company:
    with installation.node.database.read(0) as reading:
        return companies.get(reading, company)
