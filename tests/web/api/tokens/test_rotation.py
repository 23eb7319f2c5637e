"""``POST …/rotate``: by users, platforms and portal sessions."""

from typing import Any

import httpx
import pytest

from gatepass.web.times import format_time, parse_time
from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal
from tests.support.apps.problems import fields, reasons

TOKEN = {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:get"]}


def create(client: httpx.Client, **more: Any) -> Any:
    answer = client.post("/v1/access-tokens", json={**TOKEN, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def rotate(client: httpx.Client, token: Any, **how: Any) -> httpx.Response:
    return client.post(f"/v1/access-tokens/{token['id']}/rotate", json={"close": "now"} | how)


def test_a_rotation_answers_with_the_new_token(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    token = create(ada, networks=["127.0.0.1"])
    made = rotate(ada, token, close="when_silent", silent_for=7200, label="Second")
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    new = made.json()
    assert made.headers["location"] == f"/v1/access-tokens/{new['id']}"
    text = new.pop("token")
    got = ada.get(made.headers["location"])
    assert (got.json(), got.headers["etag"]) == (new, made.headers["etag"])
    assert (new["label"], new["networks"]) == ("Second", ["127.0.0.1/32"])
    nothing = {"close": None, "closes_at": None, "waiting_for": [], "callers": []}
    assert new["rotation"] == {"replaces": token["id"], "replaced_by": None, **nothing}
    old = ada.get(f"/v1/access-tokens/{token['id']}").json()
    assert old["rotation"] == {
        "replaces": None,
        "replaced_by": new["id"],
        "close": "when_silent",
        "closes_at": old["expires_at"],
        "waiting_for": old["rotation"]["waiting_for"],
        "callers": [],
    }
    for each in (token["token"], text):
        decision = any_installation.verify(each, permission="charges:get", address="127.0.0.1")
        assert decision["allowed"]
    again = rotate(ada, token)
    assert reasons(again) == (409, "already_rotated")
    assert again.json()["current"] == old


def test_a_replaced_token_keeps_an_end(installation: Installation) -> None:
    ada = installation.signed_in()
    token = create(ada)
    assert rotate(ada, token, close="when_silent").status_code == 201
    path = f"/v1/access-tokens/{token['id']}"
    closes_at = ada.get(path).json()["rotation"]["closes_at"]
    later_by_1_ms = format_time(parse_time(closes_at) + 1)
    for later in (None, "9999-12-31T00:00:00Z", later_by_1_ms):
        refused = ada.patch(path, json={"expires_at": later})
        assert (refused.status_code, fields(refused)) == (422, ["expires_at"]), later
    for good in (closes_at, format_time(parse_time(closes_at) - 1)):
        assert ada.patch(path, json={"expires_at": good}).json()["rotation"]["closes_at"] == good
    assert ada.get(f"/access-tokens/{token['id']}").status_code == 200


def test_now_ends_the_old_one(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    token = create(ada)
    assert rotate(ada, token).status_code == 201
    old = ada.get(f"/v1/access-tokens/{token['id']}").json()
    assert (old["status"], old["deactivated_by"]) == ("deactivated", "rotation")
    assert old["rotation"]["closes_at"] == old["deactivated_at"]
    decision = any_installation.verify(token["token"], permission="charges:get")
    assert decision["reason"] == "token_deactivated"
    assert ada.get(f"/v1/access-tokens/{token['id']}/receipt").status_code == 200


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, ["close"]),
        ({"close": "soon"}, ["close"]),
        ({"close": "after"}, ["after"]),
        ({"close": "after", "after": 7_776_001}, ["after"]),
        ({"close": "after", "after": True}, ["after"]),
        ({"close": "after", "after": 1.5}, ["after"]),
        ({"close": "when_silent", "silent_for": 3_599}, ["silent_for"]),
        ({"close": "now", "silent_for": 3_600, "label": ""}, ["silent_for", "label"]),
        ({"close": "now", "expires_at": None}, ["expires_at"]),
    ],
)
def test_invalid_fields_are_named(
    installation: Installation, body: dict[str, Any], wrong: list[str]
) -> None:
    ada = installation.signed_in()
    token = create(ada)
    answer = ada.post(f"/v1/access-tokens/{token['id']}/rotate", json=body)
    assert fields(answer) == wrong
    assert ada.get(f"/v1/access-tokens/{token['id']}").json()["rotation"] is None


def test_refusals(installation: Installation) -> None:
    ada = installation.signed_in()
    bob = installation.joined("bob@example.com", "Bob", role="manager")
    token = create(ada, permissions=["access-tokens:get", "charges:get"])
    assert reasons(rotate(bob, token)) == (403, "not_owner")
    with_it = installation.client(token["token"])
    assert reasons(rotate(with_it, token)) == (403, "signed_in_user_required")
    ada.post(f"/v1/access-tokens/{token['id']}/deactivate")
    ended = rotate(ada, token)
    assert reasons(ended) == (409, "token_deactivated")
    assert ended.json()["current"]["status"] == "deactivated"
    assert reasons(rotate(ada, {"id": "gpat_0000000000000000"})) == (404, "not_found")


def test_a_platform_rotates_an_owners_token(any_installation: Installation) -> None:
    portal = Portal(any_installation)
    token = portal.access_token(portal.owner)
    company = f"/v1/companies/{any_installation.company.id}/access-tokens"
    key = {"Idempotency-Key": "rotation-4711-attempt"}
    first, second = (
        portal.backend.post(f"{company}/{token['id']}/rotate", json={"close": "now"}, headers=key)
        for _ in range(2)
    )
    assert first.status_code == 201, first.text
    assert second.json() == first.json()
    new = first.json()
    assert first.headers["location"] == f"{company}/{new['id']}"
    assert new["owner"]["id"] == portal.owner.id
    assert any_installation.verify(new["token"], permission="charges:get")["allowed"]
    late = portal.backend.post(f"{company}/{token['id']}/rotate", json={"close": "now"})
    assert reasons(late) == (409, "already_rotated")
    users = create(any_installation.signed_in())
    refused = portal.backend.post(f"{company}/{users['id']}/rotate", json={"close": "now"})
    assert reasons(refused) == (404, "not_found")


def test_a_portal_session_rotates_what_it_may_hold(installation: Installation) -> None:
    portal = Portal(installation)
    less = portal.access_token(portal.owner, "charges:get")
    more = portal.access_token(portal.owner, "charges:get", "charges:create")
    page = portal.page(permissions=["charges:get"])
    new = rotate(page, less)
    assert new.status_code == 201, new.text
    assert (new.json()["created_by"], new.json()["created_by_name"]) == (None, "Customer 7")
    refused = rotate(page, more)
    assert reasons(refused) == (403, "permission_missing")
