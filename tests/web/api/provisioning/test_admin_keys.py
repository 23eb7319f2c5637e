"""Admin keys: where they act, and that company, permissions and networks bind on every path."""

import re
from typing import Any

import httpx
import pytest

from gatepass.core.decision import Reason
from gatepass.registry.actor import Actor
from gatepass.registry.directory import admin_keys, companies
from gatepass.registry.directory.companies import Company
from gatepass.registry.membership import company_offboarding
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from tests.support.apps.all_routes import api_routes, page_routes
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons
from tests.support.apps.stored import everything

#: What an endpoint needs of an admin key; every other endpoint refuses it.
AREAS = {
    ("GET", "/v1/companies"): "companies",
    ("GET", "/v1/companies/{id}"): "companies",
    ("PATCH", "/v1/companies/{id}"): "companies",
    ("POST", "/v1/companies/{id}/deactivate"): "companies",
    ("PUT", "/v1/companies/by-external-id/{external_id}"): "companies",
    ("GET", "/v1/companies/{id}/owners"): "owners",
    ("GET", "/v1/companies/{id}/owners/{owner}"): "owners",
    ("POST", "/v1/companies/{id}/owners/{owner}/deactivate"): "owners",
    ("PUT", "/v1/companies/{id}/owners/by-external-id/{external_id}"): "owners",
    ("GET", "/v1/companies/{id}/access-tokens"): "tokens",
    ("POST", "/v1/companies/{id}/access-tokens"): "tokens",
    ("GET", "/v1/companies/{id}/access-tokens/{token}"): "tokens",
    ("PATCH", "/v1/companies/{id}/access-tokens/{token}"): "tokens",
    ("POST", "/v1/companies/{id}/access-tokens/{token}/deactivate"): "tokens",
    ("POST", "/v1/companies/{id}/access-tokens/{token}/rotate"): "tokens",
    ("POST", "/v1/portal-sessions"): "portal",
    ("POST", "/v1/verifier-keys"): "verifiers",
}
#: Endpoints that read no credential.
OPEN = {
    ("POST", "/v1/authentications"),
    ("POST", "/v1/invitations/accept"),
    ("POST", "/v1/oidc/back-channel-logout"),
    ("POST", "/v1/oidc/global-token-revocation"),
    ("POST", "/v1/portal-sessions/redeem"),
    ("POST", "/v1/revoke"),
    ("POST", "/v1/credentials/revoke"),
    ("POST", "/v1/credentials/secret-scanning"),
}
OWNER = {"type": "external", "name": "Customer", "role": "customer-service"}
TOKEN = {"label": "Till", "kind": "api", "permissions": ["charges:get"]}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/companies/{id}"): {"name": "Renamed"},
    ("PUT", "/v1/companies/by-external-id/{external_id}"): {"name": "Taken over"},
    ("PUT", "/v1/companies/{id}/owners/by-external-id/{external_id}"): OWNER,
    ("POST", "/v1/companies/{id}/access-tokens"): {**TOKEN, "owner": {"external_id": "theirs"}},
    ("PATCH", "/v1/companies/{id}/access-tokens/{token}"): {"label": "Taken over"},
    ("POST", "/v1/companies/{id}/access-tokens/{token}/rotate"): {"close": "now"},
    ("POST", "/v1/portal-sessions"): {
        "company": "com_0000000000000000",
        "owner": {"external_id": "x"},
        "origins": ["https://shop.example"],
        "expires_in": 60,
    },
    ("POST", "/v1/verifier-keys"): {"label": "gateway"},
}


def operations() -> list[tuple[str, str]]:
    return sorted(
        (method, path) for path, route in api_routes() for method in route.methods - {"HEAD"}
    )


class Customer:
    """A company with an external id, an owner and a token, and the answers about them."""

    def __init__(self, platform: httpx.Client, name: str) -> None:
        self.company = platform.put(
            f"/v1/companies/by-external-id/{name}", json={"name": f"{name} Works"}
        ).json()
        below = f"/v1/companies/{self.company['id']}"
        self.owner = platform.put(f"{below}/owners/by-external-id/{name}", json=OWNER).json()
        #: The idempotency key of the token's creation.
        self.key = f"creation of {name}".replace(" ", "-")
        made = platform.post(
            f"{below}/access-tokens",
            json={**TOKEN, "owner": {"id": self.owner["id"]}},
            headers={"Idempotency-Key": self.key},
        )
        assert made.status_code == 201, made.text
        self.token, self.token_etag = made.json(), made.headers["etag"]


def filled(path: str, **parameters: str) -> str:
    """A path with its parameters; an id that no record has for those that aren't given."""
    names = re.findall(r"{(\w+)}", path)
    return path.format(**dict.fromkeys(names, "com_0000000000000000") | parameters)


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
    token = installation.client(installation.access_token("users:*"))
    key = installation.admin_key()
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
    client = installation.admin()
    found = operations()
    assert set(AREAS) | OPEN <= set(found)
    for method, path in found:
        if (method, path) in AREAS or (method, path) in OPEN:
            continue
        answer = client.request(method, filled(path), json=None if method == "GET" else {})
        assert reasons(answer) == (403, "admin_key"), (method, path)
    assert reasons(client.get("/v1/me")) == (403, "admin_key")
    for path in ("/company", "/access-tokens", "/company/admin-keys"):
        assert ("GET", path) in page_routes()
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 403


def test_each_endpoint_needs_its_permission(installation: Installation) -> None:
    for (method, path), area in AREAS.items():
        others = [each for each in admin_keys.AREAS if each != area]
        client = installation.admin(permissions=others)
        where = filled(path, id=installation.company.id, external_id="x")
        answer = client.request(method, where, json=BODIES.get((method, path)))
        assert reasons(answer) == (403, "permission_missing"), (method, path)


def test_it_sees_and_changes_its_company_alone(any_installation: Installation) -> None:
    """Whatever ids, external ids, versions and idempotency keys of another company it tries."""
    platform = any_installation.admin()
    ours, theirs = Customer(platform, "ours"), Customer(platform, "theirs")
    company, owner, token = theirs.company["id"], theirs.owner["id"], theirs.token["id"]
    client = any_installation.admin(company=ours.company["id"])
    foreign = [
        {"id": company, "owner": owner, "token": token, "external_id": "theirs"},
        {"id": "ext:theirs", "owner": "ext:theirs", "token": token, "external_id": "theirs"},
        {"id": company, "owner": ours.owner["id"], "token": ours.token["id"], "external_id": "new"},
        {"owner": owner, "token": token, "external_id": "new"},
    ]
    # Within its own company, another's owners and tokens.
    mixed = [
        {"id": own, "owner": their, "token": token}
        for own in (ours.company["id"], "ext:ours")
        for their in (owner, "ext:theirs")
    ]
    before = everything(any_installation)
    tried = 0
    for method, path in AREAS:
        parameters = [*foreign, *(mixed if re.search("{(owner|token)}", path) else [])]
        body = BODIES.get((method, path))
        if path == "/v1/verifier-keys":
            body = {"label": "gateway", "companies": [company]}
        elif path == "/v1/portal-sessions":
            body = {**BODIES[method, path], "company": company, "owner": {"id": owner}}
        elif "{" not in path:
            continue
        for each in parameters:
            for etag in ("*", *([theirs.token_etag] if method == "PATCH" else [])):
                headers = {"If-Match": etag}
                if method == "POST":
                    headers["Idempotency-Key"] = theirs.key
                answer = client.request(method, filled(path, **each), json=body, headers=headers)
                assert reasons(answer) == (404, "not_found"), (method, path, each)
                assert "theirs Works" not in answer.text
                tried += 1
    assert tried > 60
    for reference in ({"id": owner}, {"external_id": "theirs"}, {"id": any_installation.ada.id}):
        answer = client.post(
            "/v1/companies/ext:ours/access-tokens", json={**TOKEN, "owner": reference}
        )
        assert reasons(answer) == (404, "not_found"), reference
    assert everything(any_installation) == before


def test_its_lists_have_nothing_of_another_company(any_installation: Installation) -> None:
    """With no cursor and no filter of another company's."""
    platform = any_installation.admin()
    ours, theirs = Customer(platform, "ours"), Customer(platform, "theirs")
    for part in ("owners", "access-tokens"):
        below = f"/v1/companies/{theirs.company['id']}"
        platform.put(f"{below}/owners/by-external-id/2", json=OWNER)
        platform.post(f"{below}/access-tokens", json={**TOKEN, "owner": {"external_id": "2"}})
        cursor = platform.get(f"{below}/{part}", params={"limit": 1}).json()["next"]
        client = any_installation.admin(company=ours.company["id"])
        own = ours.owner if part == "owners" else ours.token
        for parameters in ({}, {"cursor": cursor}):
            found = client.get(f"/v1/companies/ext:ours/{part}", params=parameters).json()["items"]
            assert {each["id"] for each in found} <= {own["id"]}
        filters = {
            "owners": [{"external_id": "theirs"}],
            "access-tokens": [
                {"owner": theirs.owner["id"]}, {"owner": "ext:theirs"}, {"q": theirs.token["id"]},
            ],
        }[part]  # fmt: skip
        for each in filters:
            found = client.get(f"/v1/companies/ext:ours/{part}", params=each)
            assert found.json()["items"] == [], each
    listed = client.get("/v1/companies").json()["items"]
    assert [each["id"] for each in listed] == [ours.company["id"]]
    found = client.get("/v1/companies", params={"external_id": "theirs"})
    assert found.json()["items"] == []
    missing = client.post("/v1/verifier-keys", json={"label": "gateway"})
    assert fields(missing) == ["companies"]
    own_key = {"label": "gateway", "companies": [ours.company["id"]]}
    assert client.post("/v1/verifier-keys", json=own_key).status_code == 201


def test_an_idempotency_key_of_another_credential_is_unknown(installation: Installation) -> None:
    """Also to another key of the same company: the answer has the text of a token."""
    platform = installation.admin()
    ours = Customer(platform, "ours")
    again = installation.admin().post(
        f"/v1/companies/{ours.company['id']}/access-tokens",
        json={**TOKEN, "owner": {"id": ours.owner["id"]}},
        headers={"Idempotency-Key": ours.key},
    )
    assert again.status_code == 201
    assert again.json()["id"] != ours.token["id"]


def test_its_limits_bind_on_every_path(installation: Installation) -> None:
    """Its networks, its expiry, its end, its company's allowlist and its company's end."""
    node, line = installation.node, Actor.command_line()
    enclosed, ended = (installation.new_company(name) for name in ("Enclosed", "Ended"))
    installation.do(allowlist.replace, line, enclosed.id, [Entry("203.0.113.0/24", "")])
    expired = installation.admin(expires_at=node.clock.now() + 60_000)
    deactivated = installation.admin_key()
    installation.do(admin_keys.deactivate, line, deactivated[:21])
    of_ended = installation.admin(company=ended.id)
    installation.do(company_offboarding.deactivate, line, ended.id)
    node.clock.offset_ns += 60_000_000_000
    refused = [
        (installation.admin(networks=["203.0.113.0/24"]), (403, "address_not_allowed")),
        (expired, (401, "token_expired")),
        (installation.client(deactivated), (401, "token_deactivated")),
        (installation.admin(company=enclosed.id), (403, "company_address_not_allowed")),
        (of_ended, (401, "account_deactivated")),
    ]
    before = everything(installation)
    for client, reason in refused:
        for company in (installation.company, enclosed, ended):
            for method, path in AREAS:
                where = filled(path, id=company.id, external_id="x")
                answer = client.request(method, where, json=BODIES.get((method, path)))
                assert reasons(answer) == reason, (method, path)
    assert everything(installation) == before


def test_networks_allowlist_and_expiry_bind(installation: Installation) -> None:
    listed = installation.admin_key(networks=["203.0.113.0/24"])
    for peer, status in (("203.0.113.9", 200), ("127.0.0.1", 403)):
        answer = installation.client(listed, peer=peer).get("/v1/companies")
        assert answer.status_code == status
    assert answer.json()["reason"] == "address_not_allowed"
    limited = installation.admin_key(company=installation.company.id)
    installation.allow_only("203.0.113.0/24")
    refused = installation.client(limited).get("/v1/companies")
    assert reasons(refused) == (403, "company_address_not_allowed")
    assert installation.client(limited, peer="203.0.113.9").get("/v1/companies").is_success
    # A key of the installation isn't bound by a company's list.
    assert installation.admin().get("/v1/companies").is_success


def test_it_ends_with_its_company(any_installation: Installation) -> None:
    other = any_installation.new_company("Difference Engines")
    client = any_installation.admin(company=other.id)
    ended = any_installation.admin().post(f"/v1/companies/{other.id}/deactivate")
    assert ended.json()["status"] == "deactivated"
    assert reasons(client.get("/v1/companies")) == (401, "account_deactivated")


def test_no_decision_accepts_it(installation: Installation) -> None:
    key = installation.admin_key()
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
    key = installation.admin_key()
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
        key = installation.admin_key(**limits)
        assert node._admit_by_registry(key, {"address": None}).allowed
        wrong = key[:21] + installation.admin_key()[21:]
        assert not node._admit_by_registry(wrong, {"address": None}).allowed
        installation.do(admin_keys.deactivate, Actor.command_line(), key[:21])
        reason = node._admit_by_registry(key, {"address": None}).reason
        assert reason is Reason.token_deactivated


def _as_company(installation: Installation, company: str) -> Company:
    with installation.node.database.read(0) as reading:
        return companies.get(reading, company)
