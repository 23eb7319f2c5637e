"""``/v1/service-accounts``, and access tokens that belong to an owner."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.directory import owners
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

NEW = {"name": "Deploys", "role": "customer-service"}
TOKEN = {"label": "Deploy", "kind": "api", "permissions": ["charges:get"]}


def put(installation: Installation, external_id: str, **changes: Any) -> str:
    """An owner with an external id in the installation's company; its id."""
    given = {"type": "external", "name": "Customer", "role": "customer-service"}
    node = installation.node
    with node.database.write(node.clock.now()) as change:
        owner, _ = owners.put(
            change,
            Actor.command_line(),
            installation.ada.company,
            external_id,
            catalogue=node.catalogue,
            **(given | changes),
        )
    return owner.id


def test_one_is_created_read_changed_and_deactivated(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    made = ada.post("/v1/service-accounts", json=NEW)
    assert made.status_code == 201
    record = made.json()
    where = f"/v1/service-accounts/{record['id']}"
    assert made.headers["location"] == where
    got = ada.get(where)
    assert got.json() == record
    assert len(record.pop("created_at")) == len("2026-12-24T00:00:00.000Z")
    assert record == {
        "id": record["id"],
        "type": "service_account",
        "external_id": None,
        **NEW,
        "status": "active",
        "created_by": any_installation.ada.id,
        "created_by_name": any_installation.ada.name,
        "deactivated_at": None,
        "deactivated_by": None,
        "deactivated_by_name": None,
    }
    version = {"If-Match": got.headers["etag"]}
    changed = ada.patch(where, json={"name": "Nightly"}, headers=version)
    assert (changed.status_code, changed.json()["name"]) == (200, "Nightly")
    late = ada.patch(where, json={"name": "Late"}, headers=version)
    assert reasons(late) == (409, "changed_meanwhile")
    assert late.json()["current"] == changed.json()
    token = ada.post("/v1/access-tokens", json={**TOKEN, "owner": {"id": record["id"]}})
    me = any_installation.client(token.json()["token"]).get("/v1/me").json()
    assert me["user"] == {
        "id": record["id"], "name": "Nightly", "email": None, "role": "customer-service",
    }  # fmt: skip
    ended = ada.post(f"{where}/deactivate")
    assert (ended.status_code, ended.json()["status"]) == (200, "deactivated")
    assert ada.post(f"{where}/deactivate").json() == ended.json()
    gone = ada.get(f"/v1/access-tokens/{token.json()['id']}").json()
    assert gone["status"] == "deactivated"
    assert any_installation.client(token.json()["token"]).get("/v1/me").status_code == 401
    assert reasons(ada.patch(where, json={"name": "X"})) == (409, "owner_deactivated")
    refused = ada.post("/v1/access-tokens", json={**TOKEN, "owner": {"id": record["id"]}})
    assert reasons(refused) == (409, "owner_deactivated")
    assert [one["id"] for one in ada.get("/v1/service-accounts").json()["items"]] == [record["id"]]
    listed = ada.get("/v1/service-accounts", params={"status": "active", "q": "night"})
    assert listed.json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"role": "admin"}, "role"),
        ({"role": "nobody"}, "role"),
        ({"role": 7}, "role"),
        ({"external_id": "a"}, "external_id"),
        ({"type": "external"}, "type"),
    ],
)
def test_what_is_refused(ada: httpx.Client, change: dict[str, Any], field: str) -> None:
    assert fields(ada.post("/v1/service-accounts", json=NEW | change)) == [field]
    made = ada.post("/v1/service-accounts", json=NEW).json()
    assert fields(ada.patch(f"/v1/service-accounts/{made['id']}", json=change)) == [field]


def test_who_may(installation: Installation, ada: httpx.Client) -> None:
    made = ada.post("/v1/service-accounts", json=NEW).json()
    where = f"/v1/service-accounts/{made['id']}"
    installation.new_user("rita@example.com", "Rita", role="reporting")
    rita = installation.client(installation.sign_in("rita@example.com"))
    token = ada.post("/v1/access-tokens", json=TOKEN).json()["token"]
    for client, reason in (
        (rita, "permission_missing"),
        (installation.client(token), "signed_in_user_required"),
    ):
        for method, path, sent in (
            ("POST", "/v1/service-accounts", NEW),
            ("PATCH", where, {"name": "X"}),
            ("POST", f"{where}/deactivate", {}),
        ):
            assert reasons(client.request(method, path, json=sent)) == (403, reason)
        for path in ("/v1/service-accounts", where):
            assert reasons(client.get(path)) == (403, "permission_missing")


def test_an_external_id_stands_for_an_id_in_paths(
    installation: Installation, ada: httpx.Client
) -> None:
    """Compared exactly, with slashes percent-encoded; never another record's path."""
    names = ["a", "A", "a/b", "a/deactivate", "ext:a", "\u00e4 %2F?#;", ".."]
    made = {
        name: put(installation, name, type="service_account", name=f"Account {name}")
        for name in names
    }
    for name, id in made.items():
        where = f"/v1/service-accounts/ext:{quote(name, safe='')}"
        assert ada.get(where).json()["id"] == id, name
        assert ada.patch(where, json={"name": "New"}).json()["id"] == id
    for wrong in ("ext:b", "ext:", "a", "ext:a/b", "ext:%FF", "ext:a%2Fb/x", "ext%3Aa/b"):
        assert reasons(ada.get(f"/v1/service-accounts/{wrong}")) == (404, "not_found"), wrong
    # Not the deactivation of "a".
    answer = ada.post("/v1/service-accounts/ext:a%2Fdeactivate", json={})
    assert answer.status_code in (404, 405)
    assert ada.get("/v1/service-accounts/ext:a").json()["status"] == "active"
    ended = ada.post("/v1/service-accounts/ext:a%2Fdeactivate/deactivate", json={}).json()
    assert (ended["id"], ended["status"]) == (made["a/deactivate"], "deactivated")
    external = put(installation, "person")
    for path in (external, "ext:person"):
        assert ada.get(f"/v1/service-accounts/{path}").status_code == 404


def test_tokens_of_owners(installation: Installation, ada: httpx.Client) -> None:
    account = ada.post("/v1/service-accounts", json=NEW).json()["id"]
    external = put(installation, "customer 7/\u00e4")
    made = [
        ada.post("/v1/access-tokens", json={**TOKEN, **more}).json()
        for more in (
            {},
            {"owner": None},
            {"owner": {"id": installation.ada.id}},
            {"owner": {"id": account}},
            {"owner": {"external_id": "customer 7/\u00e4"}},
        )
    ]
    mine = {
        "type": "user", "id": installation.ada.id, "external_id": None, "name": "Ada Lovelace",
    }  # fmt: skip
    assert [one["owner"] for one in made[:3]] == [mine] * 3
    assert made[3]["owner"] == {
        "type": "service_account", "id": account, "external_id": None, "name": "Deploys",
    }  # fmt: skip
    assert made[4]["owner"] == {
        "type": "external", "id": external, "external_id": "customer 7/\u00e4", "name": "Customer",
    }  # fmt: skip
    assert {one["created_by"] for one in made} == {installation.ada.id}
    for owner, found in (
        (account, made[3:4]),
        (external, made[4:]),
        ("ext:customer 7/\u00e4", made[4:]),
        (installation.ada.id, made[:3]),
        ("ext:customer", []),
        ("nobody", []),
        ("", []),
    ):
        items = ada.get("/v1/access-tokens", params={"owner": owner}).json()["items"]
        assert {one["id"] for one in items} == {one["id"] for one in found}, owner
    assert ada.get("/v1/access-tokens", params={"owner": "a\n"}).status_code == 422


@pytest.mark.parametrize(
    ("owner", "status", "reason"),
    [
        ({}, 422, "invalid"),
        ({"id": "svc_1", "external_id": "a"}, 422, "invalid"),
        ({"id": 1}, 422, "invalid"),
        ("svc_1", 422, "invalid"),
        ({"name": "Deploys"}, 422, "invalid"),
        ({"id": "svc_none"}, 404, "not_found"),
        ({"id": "usr_none"}, 404, "not_found"),
        ({"id": "ext:customer"}, 404, "not_found"),
        ({"id": ""}, 404, "not_found"),
        ({"external_id": ""}, 404, "not_found"),
        ({"external_id": "a\0b"}, 404, "not_found"),
        ({"external_id": "customer "}, 404, "not_found"),
    ],
)
def test_owners_that_are_refused(
    installation: Installation, ada: httpx.Client, owner: Any, status: int, reason: str
) -> None:
    put(installation, "customer")
    answer = ada.post("/v1/access-tokens", json={**TOKEN, "owner": owner})
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_another_companys_owner_owns_nothing_here(
    installation: Installation, ada: httpx.Client
) -> None:
    """Neither by its id nor by its external id, in bodies, queries and paths."""
    account = ada.post("/v1/service-accounts", json=NEW).json()["id"]
    external = put(installation, "customer")
    token = ada.post("/v1/access-tokens", json={**TOKEN, "owner": {"id": account}}).json()
    other = installation.new_company("Contoso")
    installation.new_user("carl@example.com", "Carl", company=other)
    carl = installation.client(installation.sign_in("carl@example.com"))
    for owner in ({"id": account}, {"id": external}, {"external_id": "customer"}):
        answer = carl.post("/v1/access-tokens", json={**TOKEN, "owner": owner})
        assert reasons(answer) == (404, "not_found")
    for reference in (account, external, "ext:customer"):
        assert carl.get("/v1/access-tokens", params={"owner": reference}).json()["items"] == []
        assert carl.get(f"/v1/service-accounts/{reference}").status_code == 404
    assert carl.get(f"/v1/access-tokens/{token['id']}").status_code == 404


def test_another_users_token_is_not_created(installation: Installation, ada: httpx.Client) -> None:
    bob = installation.new_user("bob@example.com", "Bob").id
    answer = ada.post("/v1/access-tokens", json={**TOKEN, "owner": {"id": bob}})
    assert reasons(answer) == (403, "not_owner")


def test_no_token_manages_service_accounts(installation: Installation, ada: httpx.Client) -> None:
    """Chosen by name it is refused; under a wildcard it isn't counted."""
    named = {**TOKEN, "permissions": ["service-accounts:manage"]}
    refused = ada.post("/v1/access-tokens", json=named)
    assert (fields(refused), refused.json()["reason"]) == (["permissions.0"], "not_for_tokens")
    wide = ada.post("/v1/access-tokens", json={**TOKEN, "permissions": ["service-accounts:*"]})
    answer = installation.client(wide.json()["token"]).get("/v1/service-accounts")
    assert reasons(answer) == (403, "permission_missing")
