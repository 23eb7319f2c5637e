"""``/v1/roles``: the company's own and the four built-in ones."""

import httpx
import pytest

from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons

DESK = {"name": "Desk", "permissions": ["charges:get", "refunds:*"]}


def test_a_role_from_creation_to_deletion(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    made = ada.post("/v1/roles", json=DESK)
    assert made.status_code == 201
    role = made.json()
    assert role == {"id": role["id"], "built_in": False, **DESK}
    path = f"/v1/roles/{role['id']}"
    assert made.headers["location"] == path
    got = ada.get(path)
    assert (got.json(), got.headers["etag"]) == (role, made.headers["etag"])

    changed = ada.patch(
        path, json={"name": "Front desk"}, headers={"If-Match": got.headers["etag"]}
    )
    assert changed.json() == {**role, "name": "Front desk"}
    for late in (
        ada.patch(path, json={"name": "X"}, headers={"If-Match": got.headers["etag"]}),
        ada.delete(path, headers={"If-Match": got.headers["etag"]}),
    ):
        assert reasons(late) == (409, "changed_meanwhile")
        assert late.json()["current"] == changed.json()
    assert ada.patch(path, json={}).json() == changed.json()

    gone = ada.delete(path, headers={"If-Match": changed.headers["etag"]})
    assert (gone.status_code, gone.content) == (204, b"")
    assert ada.get(path).status_code == ada.delete(path).status_code == 404


def test_built_in_roles_are_last_and_cannot_be_changed(ada: httpx.Client) -> None:
    ada.post("/v1/roles", json=DESK)
    page = ada.get("/v1/roles").json()
    assert [role["name"] for role in page["items"]] == [
        "Desk",
        "Admin",
        "Manager",
        "Customer Service",
        "Reporting",
    ]
    assert page["items"][1] == {
        "id": "admin",
        "name": "Admin",
        "permissions": ["*"],
        "built_in": True,
    }
    first = ada.get("/v1/roles", params={"limit": 3}).json()
    rest = ada.get("/v1/roles", params={"limit": 3, "cursor": first["next"]}).json()
    assert first["items"] + rest["items"] == page["items"]
    assert rest["next"] is None
    for answer in (
        ada.patch("/v1/roles/admin", json={"name": "Root"}),
        ada.delete("/v1/roles/reporting"),
    ):
        assert reasons(answer) == (409, "built_in_role")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "x" * 101}, ["name"]),
        ({"name": None}, ["name"]),
        ({"permissions": []}, ["permissions"]),
        ({"permissions": ["charges:get", "no:such"]}, ["permissions.1"]),
        ({"permissions": ["charges:get", "Charges Get"]}, ["permissions.1"]),
        ({"permissions": "*"}, ["permissions"]),
        ({"permissions": ["charges:get"] * 201}, ["permissions"]),
        ({"built_in": True}, ["built_in"]),
    ],
)
def test_an_invalid_field_is_named(
    ada: httpx.Client, change: dict[str, object], wrong: list[str]
) -> None:
    assert fields(ada.post("/v1/roles", json={**DESK, **change})) == wrong
    role = ada.post("/v1/roles", json=DESK).json()["id"]
    assert fields(ada.patch(f"/v1/roles/{role}", json=change)) == wrong


def test_names_are_unique_without_case(ada: httpx.Client) -> None:
    ada.post("/v1/roles", json=DESK)
    for name in ("DESK", "admin"):
        assert reasons(ada.post("/v1/roles", json={**DESK, "name": name})) == (409, "name_taken")


def test_each_operation_needs_its_permission(installation: Installation, ada: httpx.Client) -> None:
    keeper = ada.post("/v1/roles", json={"name": "Keeper", "permissions": ["roles:*"]}).json()
    kim = installation.joined("kim@example.com", "Kim", role=keeper["id"])
    refused = kim.post("/v1/roles", json=DESK)
    assert reasons(refused) == (403, "permission_missing")
    assert 'scope="charges:get"' in refused.headers["www-authenticate"]
    assert (
        kim.post("/v1/roles", json={"name": "Own", "permissions": ["roles:*"]}).status_code == 201
    )
    assert reasons(ada.delete(f"/v1/roles/{keeper['id']}")) == (409, "role_in_use")
    token = installation.client(installation.access_token("roles:*"))
    assert token.get(f"/v1/roles/{keeper['id']}").status_code == 200
    for answer in (
        token.post("/v1/roles", json=DESK),
        token.patch(f"/v1/roles/{keeper['id']}", json={"name": "X"}),
        token.delete(f"/v1/roles/{keeper['id']}"),
    ):
        assert reasons(answer) == (403, "signed_in_user_required")


def test_another_companys_roles_are_404(installation: Installation, ada: httpx.Client) -> None:
    carl = installation.of_another_company("carl@example.com", "Carl")
    made = carl.post("/v1/roles", json=DESK).json()["id"]
    for id in (made, "rol_nobody", "%00"):
        path = f"/v1/roles/{id}"
        for answer in (ada.get(path), ada.patch(path, json={"name": "X"}), ada.delete(path)):
            assert answer.status_code == 404
    bob = installation.new_user("bob@example.com", "Bob", role="reporting")
    assert fields(ada.patch(f"/v1/users/{bob.id}", json={"role": made})) == ["role"]
