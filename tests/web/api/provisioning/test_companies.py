"""``/v1/companies``: for admin keys and operators, by id or by the platform's own id."""

from urllib.parse import quote

import httpx
import pytest

from gatepass.registry.directory import companies
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import reasons


def put(client: httpx.Client, external_id: str, name: str) -> httpx.Response:
    where = f"/v1/companies/by-external-id/{quote(external_id, safe='')}"
    return client.put(where, json={"name": name})


def test_a_company_is_put_by_its_external_id(any_installation: Installation) -> None:
    client = any_installation.admin()
    made = put(client, "cus_1", "Customer")
    assert made.status_code == 201
    company = made.json()
    assert company == {
        "id": company["id"],
        "external_id": "cus_1",
        "name": "Customer",
        "status": "active",
        "created_at": company["created_at"],
    }
    assert made.headers["location"] == f"/v1/companies/{company['id']}"
    again = put(client, "cus_1", "Customer")
    assert (again.status_code, again.json()) == (200, company)
    renamed = put(client, "cus_1", "Customer & Sons")
    assert renamed.json() == {**company, "name": "Customer & Sons"}
    assert client.get(f"/v1/companies/{company['id']}").json() == renamed.json()
    operator = any_installation.signed_in()
    assert operator.get("/v1/companies/ext:cus_1").json() == renamed.json()
    assert reasons(put(client, "cus_2", "CUSTOMER & sons")) == (409, "name_taken")


@pytest.mark.parametrize(
    "external_id",
    ["a/b", "/", "a%2Fb", "50%", "é", "e\u0301", "Ä b", "a?b#c", "ext:x", "x" * 200, "日本", " "],
)
def test_external_ids_are_compared_exactly(
    any_installation: Installation, external_id: str
) -> None:
    client = any_installation.admin()
    put(client, "another", "Another")
    made = put(client, external_id, "Customer")
    assert made.status_code == 201, made.text
    assert made.json()["external_id"] == external_id
    where = f"/v1/companies/ext:{quote(external_id, safe='')}"
    assert client.get(where).json() == made.json()
    assert client.patch(where, json={"name": "New"}).json()["name"] == "New"
    found = client.get("/v1/companies", params={"external_id": external_id}).json()["items"]
    assert [each["id"] for each in found] == [made.json()["id"]]
    folded = external_id.swapcase()
    if folded != external_id:
        assert client.get(f"/v1/companies/ext:{quote(folded, safe='')}").status_code == 404
    assert client.post(f"{where}/deactivate").json()["status"] == "deactivated"


@pytest.mark.parametrize("external_id", ["x" * 201, "a\nb", "a\0b", "\x1f", "a/\x1fb"])
def test_what_is_no_external_id_is_refused(
    any_installation: Installation, external_id: str
) -> None:
    client = any_installation.admin()
    assert put(client, external_id, "Customer").status_code in (404, 422)
    where = f"/v1/companies/ext:{quote(external_id, safe='')}"
    assert client.get(where).status_code == 404
    assert client.post(f"{where}/deactivate").status_code == 404


def test_bytes_that_are_no_text_name_no_company(installation: Installation) -> None:
    """Two ids that differ never become one."""
    client = installation.admin()
    assert client.put("/v1/companies/by-external-id/%FF", json={"name": "x"}).status_code == 422
    assert put(client, "\ufffd", "Customer").status_code == 201
    assert client.get("/v1/companies/ext:%FF").status_code == 404


def test_a_deactivated_company_frees_its_name_and_external_id(
    any_installation: Installation,
) -> None:
    client = any_installation.admin()
    former = put(client, "cus_1", "Customer").json()
    with any_installation.node.database.read(0) as reading:
        company = companies.get(reading, former["id"])
    any_installation.new_user("boss@example.com", company=company)
    boss = any_installation.signed_in("boss@example.com")
    ended = client.post("/v1/companies/ext:cus_1/deactivate")
    assert ended.json() == {**former, "status": "deactivated"}
    assert client.post("/v1/companies/ext:cus_1/deactivate").json() == ended.json()
    assert reasons(boss.get("/v1/me")) == (401, "account_deactivated")
    sign_in = any_installation.client().post(
        "/v1/authentications", json={"email": "boss@example.com", "password": PASSWORD}
    )
    assert reasons(sign_in) == (401, "sign_in_failed")
    refused = client.patch(f"/v1/companies/{former['id']}", json={"name": "Other"})
    assert reasons(refused) == (409, "company_deactivated")
    new = put(client, "cus_1", "Customer")
    assert new.status_code == 201
    assert client.get("/v1/companies/ext:cus_1").json() == new.json()
    found = client.get("/v1/companies", params={"external_id": "cus_1"}).json()["items"]
    assert {each["id"] for each in found} == {former["id"], new.json()["id"]}
    assert client.get(f"/v1/companies/{former['id']}").json()["name"] == "Customer"


def test_a_change_may_require_a_version(installation: Installation) -> None:
    client = installation.admin()
    made = put(client, "cus_1", "Customer")
    where = f"/v1/companies/{made.json()['id']}"
    etag = made.headers["etag"]
    changed = client.patch(where, json={"name": "One"}, headers={"If-Match": etag})
    assert changed.json()["name"] == "One"
    late = client.patch(where, json={"name": "Two"}, headers={"If-Match": etag})
    assert reasons(late) == (409, "changed_meanwhile")
    assert late.json()["current"] == changed.json()
    assert client.patch(where, json={}).json() == changed.json()
    assert client.patch(where, json={"name": ""}).status_code == 422
    assert client.patch(where, json={"external_id": "x"}).status_code == 422


def test_the_last_operators_company_stays(installation: Installation) -> None:
    own = f"/v1/companies/{installation.company.id}/deactivate"
    for client in (installation.admin(), installation.signed_in()):
        assert reasons(client.post(own)) == (409, "last_operator")
    other = installation.new_company("Second")
    installation.new_user("olga@example.com", company=other, operator=True)
    assert installation.admin().post(own).is_success


def test_only_operators_and_admin_keys_reach_them(installation: Installation) -> None:
    bob = installation.joined("bob@example.com", role="admin")
    token = installation.client(installation.access_token("company:get"))
    for client, reason in ((bob, "operator_required"), (token, "signed_in_user_required")):
        for method, path in (
            ("GET", "/v1/companies"),
            ("GET", f"/v1/companies/{installation.company.id}"),
            ("PATCH", f"/v1/companies/{installation.company.id}"),
            ("POST", f"/v1/companies/{installation.company.id}/deactivate"),
            ("PUT", "/v1/companies/by-external-id/x"),
            ("POST", "/v1/verifier-keys"),
        ):
            body = {"name": "x"} if method in ("PATCH", "PUT") else None
            assert reasons(client.request(method, path, json=body)) == (403, reason)


def test_they_are_paged(installation: Installation) -> None:
    client = installation.admin()
    ids = [put(client, f"c{n}", f"Customer {n}").json()["id"] for n in range(5)]
    first = client.get("/v1/companies", params={"limit": 3}).json()
    second = client.get("/v1/companies", params={"limit": 3, "cursor": first["next"]}).json()
    found = [each["id"] for each in first["items"] + second["items"]]
    assert set(found) == {*ids, installation.company.id}
    assert len(found) == 6
    assert second["next"] is None
