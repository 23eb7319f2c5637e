"""An owner's role that people of its company widen later, beyond what owners may have."""

from typing import Any

import pytest

from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal
from tests.support.apps.problems import reasons

#: Of Gatepass itself, by name and under a wildcard.
CLOSED = ("users:get", "audit:get", "access-tokens:*")


@pytest.fixture
def portal(any_installation: Installation) -> Portal:
    """A service account, whose role its company's people have widened."""
    portal = Portal(any_installation)
    portal.owner = portal.new_owner("robot-1", "Robot", type="service_account")
    people = any_installation.signed_in()
    role = people.get(f"/v1/roles/{portal.role}")
    wider = people.patch(
        f"/v1/roles/{portal.role}",
        json={"permissions": [*role.json()["permissions"], *CLOSED]},
        headers={"If-Match": role.headers["etag"]},
    )
    assert wider.status_code == 200, wider.text
    return portal


def tokens_of(portal: Portal) -> str:
    return f"/v1/companies/{portal.installation.company.id}/access-tokens"


def new_token(portal: Portal, permission: str) -> Any:
    owner = {"id": portal.owner.id}
    fields = {"label": "x", "kind": "api", "permissions": [permission], "owner": owner}
    return portal.backend.post(tokens_of(portal), json=fields)


@pytest.mark.parametrize("closed", CLOSED)
def test_a_platform_gives_no_permission_of_gatepass(portal: Portal, closed: str) -> None:
    refused = new_token(portal, closed)
    assert refused.status_code == 422
    assert [each["field"] for each in refused.json()["errors"]] == ["permissions"]
    made = new_token(portal, "charges:get")
    assert made.status_code == 201, made.text
    change = {"permissions": ["charges:get", closed]}
    where = f"{tokens_of(portal)}/{made.json()['id']}"
    headers = {"If-Match": made.headers["etag"]} if "etag" in made.headers else {}
    assert portal.backend.patch(where, json=change, headers=headers).status_code == 422
    session = portal.body(permissions=[closed])
    assert portal.backend.post("/v1/portal-sessions", json=session).status_code == 422
    assert portal.installation.signed_in().get(
        where.replace(tokens_of(portal), "/v1/access-tokens")
    ).json()["permissions"] == ["charges:get"]


def test_a_token_with_a_permission_of_gatepass_can_only_be_ended(portal: Portal) -> None:
    theirs = portal.access_token(portal.owner, "charges:get", "audit:get")
    where = f"{tokens_of(portal)}/{theirs['id']}"
    etag = portal.backend.get(where).headers["etag"]
    refused = portal.backend.patch(where, json={"label": "mine"}, headers={"If-Match": etag})
    assert reasons(refused) == (403, "permission_missing")
    assert portal.backend.post(f"{where}/deactivate").json()["status"] == "deactivated"


@pytest.mark.parametrize("type_", ["service_account", "external"])
def test_putting_an_owner_again_changes_nothing(portal: Portal, type_: str) -> None:
    owners = f"/v1/companies/{portal.installation.company.id}/owners/by-external-id"
    external_id = {"service_account": "robot-1", "external": "customer-7"}[type_]
    name = {"service_account": "Robot", "external": "Customer 7"}[type_]
    same = {"type": type_, "name": name, "role": portal.role}
    assert portal.backend.put(f"{owners}/{external_id}", json=same).status_code == 200
    renamed = portal.backend.put(f"{owners}/{external_id}", json={**same, "name": "New"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "New")
    assert portal.backend.put(f"{owners}/another", json=same).status_code == 422
