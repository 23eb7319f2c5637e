"""``/v1/companies/{id}/owners``: put by the platform's own ids, listed, deactivated."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.audit import search as audit_search
from gatepass.registry.audit.sentences import sentence
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

OWNER = {"type": "external", "name": "Customer", "role": "customer-service"}


@pytest.fixture
def platform(any_installation: Installation) -> httpx.Client:
    """A platform with the company ``shop``."""
    client = any_installation.admin()
    client.put("/v1/companies/by-external-id/shop", json={"name": "Shop"})
    return client


def put(
    client: httpx.Client, external_id: str, company: str = "ext:shop", **changes: Any
) -> httpx.Response:
    where = f"/v1/companies/{company}/owners/by-external-id/{quote(external_id, safe='')}"
    return client.put(where, json={**OWNER, **changes})


def test_an_owner_is_put_by_its_external_id(
    any_installation: Installation, platform: httpx.Client
) -> None:
    made = put(platform, "customer-7")
    assert made.status_code == 201, made.text
    owner = made.json()
    company = platform.get("/v1/companies/ext:shop").json()["id"]
    where = f"/v1/companies/{company}/owners/{owner['id']}"
    assert made.headers["location"] == where
    assert owner["id"].startswith("ext_")
    assert {**owner, "id": "", "created_at": ""} == {
        **OWNER,
        "id": "",
        "external_id": "customer-7",
        "status": "active",
        "created_at": "",
        "created_by": None,
        "created_by_name": "Shop",
        "deactivated_at": None,
        "deactivated_by": None,
        "deactivated_by_name": None,
    }
    again = put(platform, "customer-7")
    assert (again.status_code, again.json()) == (200, owner)
    assert again.headers["etag"] == made.headers["etag"]
    changed = put(platform, "customer-7", name="Customer & Sons")
    assert (changed.status_code, changed.json()) == (200, {**owner, "name": "Customer & Sons"})
    for reference in (where, f"/v1/companies/{company}/owners/ext:customer-7"):
        got = platform.get(reference)
        assert (got.json(), got.headers["etag"]) == (changed.json(), changed.headers["etag"])
    operator = any_installation.signed_in()
    assert put(operator, "customer-7", company, name="By hand").json()["name"] == "By hand"
    differs = put(platform, "customer-7", type="service_account")
    assert reasons(differs) == (409, "type_differs")
    assert differs.json()["current"]["name"] == "By hand"


@pytest.mark.parametrize("external_id", ["a/b", "/", "a%2Fb", "e\u0301", "ext:x", "x" * 200, " "])
def test_external_ids_are_compared_exactly(platform: httpx.Client, external_id: str) -> None:
    """In the company's and in the owner's place."""
    quoted = quote(external_id, safe="")
    platform.put(f"/v1/companies/by-external-id/{quoted}", json={"name": "Another"})
    company = f"ext:{quoted}"
    put(platform, "another", company)
    made = put(platform, external_id, company)
    assert made.status_code == 201, made.text
    assert made.json()["external_id"] == external_id
    below = f"/v1/companies/{company}/owners"
    assert platform.get(f"{below}/ext:{quoted}").json() == made.json()
    found = platform.get(below, params={"external_id": external_id}).json()["items"]
    assert found == [made.json()]
    assert reasons(platform.get(f"{below}/ext:{quoted}x")) == (404, "not_found")
    assert reasons(platform.get(f"/v1/companies/ext:shop/owners/ext:{quoted}")) == (
        404,
        "not_found",
    )
    ended = platform.post(f"{below}/ext:{quoted}/deactivate").json()
    assert (ended["id"], ended["status"]) == (made.json()["id"], "deactivated")
    assert platform.post(f"{below}/ext:{quoted}/deactivate").json() == ended


def test_what_is_not_valid_is_refused(platform: httpx.Client) -> None:
    assert fields(put(platform, "x" * 201)) == ["external_id"]
    assert fields(put(platform, "a\nb")) == ["external_id"]
    assert fields(put(platform, "x", name="")) == ["name"]
    assert fields(put(platform, "x", type="user")) == ["type"]
    for role in ("nobody", "admin", "manager", "reporting", "external/customer-service"):
        assert fields(put(platform, "x", role=role)) == ["role"]
    assert reasons(put(platform, "x", "ext:nobody")) == (404, "not_found")
    assert platform.get("/v1/companies/ext:shop/owners").json()["items"] == []


def test_lists(platform: httpx.Client) -> None:
    made = [put(platform, f"customer {n}").json() for n in range(3)]
    account = put(platform, "jobs", type="service_account").json()
    assert account["id"].startswith("svc_")
    where = "/v1/companies/ext:shop/owners"
    page = platform.get(where, params={"limit": 3}).json()
    assert page["items"] == [account, made[2], made[1]]
    rest = platform.get(where, params={"cursor": page["next"]}).json()
    assert rest == {"items": [made[0]], "next": None}
    for query, found in (
        ({"type": "service_account"}, [account]),
        ({"type": "external", "external_id": "customer 1"}, [made[1]]),
        ({"type": "external", "external_id": "jobs"}, []),
        ({"external_id": "Customer 1"}, []),
    ):
        assert platform.get(where, params=query).json()["items"] == found, query
    assert fields(platform.get(where, params={"type": "user"})) == ["type"]


def test_the_end_of_an_owner_frees_its_external_id(
    any_installation: Installation, platform: httpx.Client
) -> None:
    former = put(platform, "customer-7").json()
    token = platform.post(
        "/v1/companies/ext:shop/access-tokens",
        json={
            "label": "Till", "kind": "api", "permissions": ["charges:get"],
            "owner": {"external_id": "customer-7"},
        },
    ).json()  # fmt: skip
    assert any_installation.verify(token["token"], permission="charges:get")["allowed"]
    ended = platform.post("/v1/companies/ext:shop/owners/ext:customer-7/deactivate").json()
    assert ended["deactivated_by_name"] == "Shop"
    decision = any_installation.verify(token["token"], permission="charges:get")
    assert decision["reason"] == "token_deactivated"
    new = put(platform, "customer-7")
    assert new.status_code == 201
    where = "/v1/companies/ext:shop/owners"
    assert platform.get(f"{where}/ext:customer-7").json() == new.json()
    found = platform.get(where, params={"external_id": "customer-7"}).json()["items"]
    assert {each["id"] for each in found} == {former["id"], new.json()["id"]}


def test_a_deactivated_companys_owners_end_and_never_begin(platform: httpx.Client) -> None:
    company = platform.get("/v1/companies/ext:shop").json()["id"]
    owner = put(platform, "customer-7").json()
    platform.post(f"/v1/companies/{company}/deactivate")
    for external_id in ("customer-7", "customer-8"):
        assert reasons(put(platform, external_id, company)) == (409, "company_deactivated")
    where = f"/v1/companies/{company}/owners/{owner['id']}"
    assert platform.get(where).json() == owner
    assert platform.post(f"{where}/deactivate").json()["status"] == "deactivated"


def test_the_audit_log_names_the_admin_key(
    any_installation: Installation, platform: httpx.Client
) -> None:
    put(platform, "customer-7")
    put(platform, "customer-7", name="Renamed")
    platform.post("/v1/companies/ext:shop/owners/ext:customer-7/deactivate")
    with any_installation.node.database.read(0) as reading:
        events = audit_search.list_(reading, Actor.command_line(), limit=200).items
    told = [sentence(each) for each in events if each.subject.kind == "owner"]
    assert [each for each in told if "everywhere" not in each][::-1] == [
        "The admin key Shop created the external owner Customer as Customer Service",
        "The admin key Shop renamed the external owner Customer to Renamed",
        "The admin key Shop deactivated the external owner Renamed and its access tokens",
    ]
