"""``/v1/companies/{id}/access-tokens``: a platform manages the tokens of its customers."""

import re
from typing import Any

import httpx
import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.audit import search as audit_search
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.directory import companies
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

OWNER = {"type": "external", "name": "Customer", "role": "customer-service"}
TOKEN = {"label": "Till", "kind": "api", "permissions": ["charges:get"]}
TOKENS = "/v1/companies/ext:shop/access-tokens"


@pytest.fixture
def platform(any_installation: Installation) -> httpx.Client:
    """A platform with the company ``shop``, which has the owners ``7`` and ``jobs``."""
    client = any_installation.admin()
    client.put("/v1/companies/by-external-id/shop", json={"name": "Shop"})
    for external_id, type_ in (("7", "external"), ("jobs", "service_account")):
        where = f"/v1/companies/ext:shop/owners/by-external-id/{external_id}"
        client.put(where, json={**OWNER, "type": type_})
    return client


def create(client: httpx.Client, owner: Any = "7", **changes: Any) -> httpx.Response:
    reference = {"external_id": owner} if isinstance(owner, str) else owner
    return client.post(TOKENS, json={**TOKEN, "owner": reference, **changes})


def person(installation: Installation, platform: httpx.Client) -> httpx.Client:
    """Carl, who administers the company ``shop``, signed in."""
    name = platform.get("/v1/companies/ext:shop").json()["name"]
    with installation.node.database.read(0) as reading:
        company = companies.named(reading, name)
    return installation.joined("carl@example.com", "Carl", company=company)


def test_a_token_is_created_read_changed_and_deactivated(
    any_installation: Installation, platform: httpx.Client
) -> None:
    made = create(platform, expires_at="2100-01-01T00:00:00Z", networks=["127.0.0.1"])
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    token = made.json()
    text = token.pop("token")
    company = platform.get("/v1/companies/ext:shop").json()["id"]
    where = f"/v1/companies/{company}/access-tokens/{token['id']}"
    assert made.headers["location"] == where
    assert (token["owner"]["external_id"], token["networks"]) == ("7", ["127.0.0.1/32"])
    assert (token["created_by"], token["created_by_name"]) == (None, "Shop")
    got = platform.get(where)
    assert (got.json(), got.headers["etag"]) == (token, made.headers["etag"])
    decision = any_installation.verify(text, permission="charges:get", address="127.0.0.1")
    assert decision["allowed"]
    assert decision["grant"]["owner"]["external_id"] == "7"
    version = {"If-Match": got.headers["etag"]}
    changed = platform.patch(where, json={"label": "Till 2", "networks": []}, headers=version)
    assert changed.json() == {**token, "label": "Till 2", "networks": []}
    late = platform.patch(where, json={"label": "Late"}, headers=version)
    assert reasons(late) == (409, "changed_meanwhile")
    assert late.json()["current"] == changed.json()
    assert any_installation.verify(text, permission="charges:get", address="10.0.0.1")["allowed"]
    ended = platform.post(f"{TOKENS}/{token['id']}/deactivate").json()
    assert (ended["status"], ended["deactivated_by_name"]) == ("deactivated", "Shop")
    again = platform.post(f"{where}/deactivate").json()
    assert again["deactivated_at"] == ended["deactivated_at"]
    decision = any_installation.verify(text, permission="charges:get")
    assert decision["reason"] == "token_deactivated"
    refused = platform.patch(where, json={"label": "Late"})
    assert reasons(refused) == (409, "token_deactivated")
    operator = any_installation.signed_in()
    assert operator.get(where).json()["status"] == "deactivated"


def test_a_repeated_creation_makes_one(platform: httpx.Client) -> None:
    key = {"Idempotency-Key": "order-4711-attempt"}
    body = {**TOKEN, "owner": {"external_id": "7"}}
    first, second = (platform.post(TOKENS, json=body, headers=key) for _ in range(2))
    assert second.json() == first.json()
    assert len(platform.get(TOKENS).json()["items"]) == 1


def test_a_token_holds_what_its_owner_may_have(
    any_installation: Installation, platform: httpx.Client
) -> None:
    """Within the owner's role; an external owner's within the catalogue file."""
    reader = {"name": "Reader", "permissions": ["charges:get", "access-tokens:get"]}
    role = person(any_installation, platform).post("/v1/roles", json=reader).json()["id"]
    for owner, type_ in (("7", "external"), ("jobs", "service_account")):
        where = f"/v1/companies/ext:shop/owners/by-external-id/{owner}"
        answer = platform.put(where, json={**OWNER, "type": type_, "role": role})
        assert answer.status_code == 200, answer.text
    for owner in ("7", "jobs"):
        token = create(platform, owner).json()
        for permissions in (["charges:create"], ["charges:*"]):
            beyond = create(platform, owner, permissions=permissions)
            assert reasons(beyond) == (403, "permission_missing")
            added = platform.patch(f"{TOKENS}/{token['id']}", json={"permissions": permissions})
            assert reasons(added) == (403, "permission_missing")
        for permissions in (["*"], ["nothing:known"], [], ["service-accounts:manage"]):
            refused = create(platform, owner, permissions=permissions)
            assert fields(refused)[0].partition(".")[0] == "permissions"
        control_plane = {"permissions": ["access-tokens:get"]}
        made = create(platform, owner, **control_plane)
        changed = platform.patch(f"{TOKENS}/{token['id']}", json=control_plane)
        if owner == "7":
            assert fields(made) == fields(changed) == ["permissions.0"]
        else:
            assert (made.status_code, changed.status_code) == (201, 200)


def test_what_is_not_valid_is_refused(platform: httpx.Client) -> None:
    assert fields(platform.post(TOKENS, json=TOKEN)) == ["owner"]
    assert fields(create(platform, None)) == ["owner"]
    assert fields(create(platform, {})) == ["owner"]
    assert fields(create(platform, {"id": "ext_x", "external_id": "7"})) == ["owner"]
    assert fields(create(platform, label="")) == ["label"]
    assert fields(create(platform, domains=["shop.example.com"])) == ["domains"]
    for owner in ("8", {"id": "ext_0000000000000000"}, {"id": "ext:7"}, {"external_id": "\0"}):
        assert reasons(create(platform, owner)) == (404, "not_found"), owner
    platform.post("/v1/companies/ext:shop/owners/ext:7/deactivate")
    assert reasons(create(platform)) == (409, "owner_deactivated")
    assert platform.get(TOKENS).json()["items"] == []


def test_users_tokens_are_listed_and_deactivated_but_not_changed(
    any_installation: Installation, platform: httpx.Client
) -> None:
    carl = person(any_installation, platform)
    theirs = carl.post("/v1/access-tokens", json=TOKEN).json()
    del theirs["token"]
    ours = create(platform).json()
    del ours["token"]
    assert platform.get(TOKENS).json()["items"] == [ours, theirs]
    assert platform.get(f"{TOKENS}/{theirs['id']}").json() == theirs
    refused = platform.patch(f"{TOKENS}/{theirs['id']}", json={"label": "Taken over"})
    assert reasons(refused) == (404, "not_found")
    assert reasons(create(platform, {"id": theirs["owner"]["id"]})) == (404, "not_found")
    ended = platform.post(f"{TOKENS}/{theirs['id']}/deactivate").json()
    assert (ended["status"], ended["deactivated_by_name"]) == ("deactivated", "Shop")
    assert carl.get(f"/v1/access-tokens/{theirs['id']}").json() == ended
    # The company's own people see and manage them, too, where they hold the permissions.
    page = carl.get(f"/access-tokens/{ours['id']}", headers={"Accept": "text/html"})
    assert re.search(r"by .*Shop", page.text)
    changed = carl.patch(f"/v1/access-tokens/{ours['id']}", json={"label": "By hand"})
    assert changed.json()["label"] == "By hand"


def test_lists_have_the_filters_of_access_tokens(platform: httpx.Client) -> None:
    one = create(platform).json()
    two = create(platform, "jobs", label="Nightly", kind="ui", permissions=["refunds:get"]).json()
    platform.post(f"{TOKENS}/{two['id']}/deactivate")
    for query, found in (
        ({}, [two, one]),
        ({"q": "night"}, [two]),
        ({"q": one["id"]}, [one]),
        ({"status": "active"}, [one]),
        ({"kind": "ui"}, [two]),
        ({"permission": "charges:get"}, [one]),
        ({"owner": "ext:7"}, [one]),
        ({"owner": two["owner"]["id"]}, [two]),
        ({"owner": "ext:8"}, []),
        ({"limit": "1"}, [two]),
    ):
        items = platform.get(TOKENS, params=query).json()["items"]
        assert [each["id"] for each in items] == [each["id"] for each in found], query
    cursor = platform.get(TOKENS, params={"limit": 1}).json()["next"]
    rest = platform.get(TOKENS, params={"cursor": cursor}).json()
    assert ([each["id"] for each in rest["items"]], rest["next"]) == ([one["id"]], None)


def test_a_deactivated_companys_tokens_are_not_made_or_changed(platform: httpx.Client) -> None:
    token = create(platform).json()["id"]
    company = platform.post("/v1/companies/ext:shop/deactivate").json()["id"]
    below = f"/v1/companies/{company}/access-tokens"
    body = {**TOKEN, "owner": {"external_id": "7"}}
    assert reasons(platform.post(below, json=body)) == (409, "company_deactivated")
    changed = platform.patch(f"{below}/{token}", json={"label": "x"})
    assert reasons(changed) == (409, "company_deactivated")
    assert platform.post(f"{below}/{token}/deactivate").json()["status"] == "deactivated"


def test_the_audit_log_names_the_admin_key(
    any_installation: Installation, platform: httpx.Client
) -> None:
    token = create(platform).json()["id"]
    platform.patch(f"{TOKENS}/{token}", json={"label": "Renamed"})
    platform.post(f"{TOKENS}/{token}/deactivate")
    with any_installation.node.database.read(0) as reading:
        events = audit_search.list_(reading, Actor.command_line(), limit=200).items
    told = [sentence(each) for each in events if each.subject.kind == "access_token"]
    assert [each for each in told if "everywhere" not in each][::-1] == [
        "The admin key Shop created the access token Till for Customer",
        "The admin key Shop renamed the access token Till to Renamed",
        "The admin key Shop deactivated the access token Renamed",
    ]
