"""``/v1/company``."""

import httpx

from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons


def test_a_company_is_read_and_renamed(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    got = ada.get("/v1/company")
    company = got.json()
    assert (company["id"], company["name"], company["status"]) == (
        any_installation.company.id,
        "Analytical Engines",
        "active",
    )
    assert company["created_at"].endswith("Z")
    tag = {"If-Match": got.headers["etag"]}
    changed = ada.patch("/v1/company", json={"name": "Analytical Engines Ltd"}, headers=tag)
    assert changed.json() == {**company, "name": "Analytical Engines Ltd"}
    late = ada.patch("/v1/company", json={"name": "X"}, headers=tag)
    assert reasons(late) == (409, "changed_meanwhile")
    assert late.json()["current"] == changed.json()
    assert ada.get("/v1/me").json()["company"]["name"] == "Analytical Engines Ltd"
    # Another case of its own name isn't taken.
    assert ada.patch("/v1/company", json={"name": "ANALYTICAL engines ltd"}).status_code == 200
    events = ada.get("/v1/audit-events", params={"action": "company.modified"}).json()["items"]
    assert [event["after"] for event in events] == [
        {"name": "ANALYTICAL engines ltd"},
        {"name": "Analytical Engines Ltd"},
    ]
    again = ada.patch("/v1/company", json={"name": "ANALYTICAL engines ltd"})
    assert again.status_code == 200
    after = ada.get("/v1/audit-events", params={"action": "company.modified"}).json()["items"]
    assert after == events, "the same name is no change"
    nothing = ada.patch("/v1/company", json={})
    assert (nothing.status_code, nothing.json()) == (200, again.json())


def test_renaming_needs_the_permission_and_a_valid_name(
    installation: Installation, ada: httpx.Client
) -> None:
    installation.new_company("Difference Engines")
    assert reasons(ada.patch("/v1/company", json={"name": "difference ENGINES"})) == (
        409,
        "name_taken",
    )
    for change, wrong in (
        ({"name": ""}, ["name"]),
        ({"name": "a\u0000"}, ["name"]),
        ({"name": "x", "id": "y"}, ["id"]),
    ):
        assert fields(ada.patch("/v1/company", json=change)) == wrong
    manager = installation.joined("max@example.com", "Max", role="manager")
    assert manager.get("/v1/company").status_code == 200
    assert reasons(manager.patch("/v1/company", json={"name": "Mine"})) == (
        403,
        "permission_missing",
    )
    token = installation.client(installation.access_token("company:*"))
    assert token.get("/v1/company").status_code == 200
    assert reasons(token.patch("/v1/company", json={"name": "Mine"})) == (
        403,
        "signed_in_user_required",
    )
    poor = installation.client(installation.access_token("charges:get"))
    assert reasons(poor.get("/v1/company")) == (403, "permission_missing")
