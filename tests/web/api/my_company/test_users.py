"""``/v1/users``, and the effect of changes from the next request on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import fields, reasons

BOB = "bob@example.com"


@pytest.fixture
def bob(installation: Installation) -> str:
    return installation.new_user(BOB, "Bob Manager", role="manager").id


def test_a_user_is_read_changed_and_deactivated(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    bob = any_installation.new_user(BOB, "Bob Manager", role="manager")
    got = ada.get(f"/v1/users/{bob.id}")
    record = got.json()
    assert len(record.pop("created_at")) == len("2026-12-24T00:00:00.000Z")
    assert record == {
        "id": bob.id,
        "name": "Bob Manager",
        "email": BOB,
        "role": "manager",
        "status": "active",
        "last_sign_in_at": None,
        "second_factor": False,
        "deactivated_at": None,
        "deactivated_by": None,
        "deactivated_by_name": None,
    }
    changed = ada.patch(
        f"/v1/users/{bob.id}", json={"role": "reporting"}, headers={"If-Match": got.headers["etag"]}
    )
    assert (changed.status_code, changed.json()["role"]) == (200, "reporting")
    late = ada.patch(
        f"/v1/users/{bob.id}", json={"role": "manager"}, headers={"If-Match": got.headers["etag"]}
    )
    assert reasons(late) == (409, "changed_meanwhile")
    assert late.json()["current"] == changed.json()
    ended = ada.post(f"/v1/users/{bob.id}/deactivate", json={"access_tokens": "keep"})
    assert ended.status_code == 200
    assert (ended.json()["status"], ended.json()["deactivated_by"]) == (
        "deactivated",
        any_installation.ada.id,
    )
    again = ada.post(f"/v1/users/{bob.id}/deactivate", json={})
    assert (again.status_code, again.json()) == (200, ended.json())
    assert again.headers["etag"] == ended.headers["etag"] != changed.headers["etag"]
    assert reasons(ada.patch(f"/v1/users/{bob.id}", json={"role": "manager"})) == (
        409,
        "user_deactivated",
    )
    page = ada.get("/v1/users").json()
    assert [user["id"] for user in page["items"]] == [bob.id, any_installation.ada.id]
    assert page["items"][0] == ended.json()
    assert page["next"] is None


def test_a_list_is_filtered_and_paged(installation: Installation, ada: httpx.Client) -> None:
    for number in range(3):
        installation.new_user(f"user{number}@example.com", f"User {number}", role="reporting")
    names = [user["name"] for user in ada.get("/v1/users").json()["items"]]
    # Newest first; within a millisecond in any order.
    assert sorted(names[:3]) == ["User 0", "User 1", "User 2"]
    assert names[3:] == ["Ada Lovelace"]
    first = ada.get("/v1/users", params={"limit": 3}).json()
    rest = ada.get("/v1/users", params={"limit": 3, "cursor": first["next"]}).json()
    assert [user["name"] for user in first["items"] + rest["items"]] == names
    found = ada.get("/v1/users", params={"q": "USER1@", "status": "active"}).json()["items"]
    assert [user["name"] for user in found] == ["User 1"]
    # A pasted address may have spaces around it.
    pasted = ada.get("/v1/users", params={"q": " user1@example.com "}).json()["items"]
    assert pasted == found
    assert ada.get("/v1/users", params={"status": "deactivated"}).json()["items"] == []
    for query in ({"status": "gone"}, {"q": "a\0"}, {"limit": "0"}, {"cursor": "x"}):
        assert ada.get("/v1/users", params=query).status_code == 422


@pytest.mark.parametrize("how", ["role", "deactivate", "keep", "custom"])
def test_changes_apply_everywhere_from_the_next_request(
    any_installation: Installation, how: str
) -> None:
    """API, pages, verify and nginx."""
    ada = any_installation.signed_in()
    role = "manager"
    if how == "custom":
        made = ada.post(
            "/v1/roles",
            json={
                "name": "Desk",
                "permissions": ["access-tokens:create", "charges:get", "users:get"],
            },
        )
        role = made.json()["id"]
    bob = any_installation.new_user(BOB, "Bob", role=role)
    text = any_installation.access_token("charges:get", "users:get", maker=BOB)
    signed_in, by_token = any_installation.signed_in(BOB), any_installation.client(text)
    key, gateway = any_installation.verifier_key(), any_installation.client()

    def asked() -> list[Any]:
        page = signed_in.get("/company/users", follow_redirects=False)
        verified = any_installation.client(key).post(
            "/v1/verify", json={"token": text, "permission": "charges:get"}
        )
        nginx = gateway.get(
            "/authz/nginx",
            headers={
                "Authorization": f"Bearer {text}",
                "X-Original-URI": "/v1/charges/7",
                "X-Original-Method": "GET",
            },
        )
        return [
            signed_in.get("/v1/users").status_code,
            by_token.get("/v1/users").status_code,
            page.status_code,
            verified.json()["reason"],
            nginx.headers.get("x-gatepass-reason", nginx.status_code),
        ]

    assert asked() == [200, 200, 200, "allowed", 204]
    if how == "role":
        change = ada.patch(f"/v1/users/{bob.id}", json={"role": "customer-service"})
        assert change.status_code == 200
        # Customer Service holds charges:get, but not users:get.
        assert asked() == [403, 403, 403, "allowed", 204]
        assert ada.patch(f"/v1/users/{bob.id}", json={"role": "manager"}).status_code == 200
        assert asked() == [200, 200, 200, "allowed", 204]
    elif how == "custom":
        change = ada.patch(f"/v1/roles/{role}", json={"permissions": ["users:get"]})
        assert change.status_code == 200
        assert asked() == [200, 200, 200, "permission_missing", "permission_missing"]
        ada.patch(f"/v1/roles/{role}", json={"permissions": ["charges:*"]})
        assert asked() == [403, 403, 403, "allowed", 204]
    else:
        end = ada.post(f"/v1/users/{bob.id}/deactivate", json={"access_tokens": how})
        assert end.status_code == 200
        reason = "token_deactivated" if how == "deactivate" else "account_deactivated"
        # The page redirects to the sign-in form.
        assert asked() == [401, 401, 303, reason, reason]
        assert signed_in.get("/v1/me").json()["reason"] == "account_deactivated"
        assert by_token.get("/v1/me").json()["reason"] == reason
        refused = any_installation.client().post(
            "/v1/authentications", json={"email": BOB, "password": PASSWORD}
        )
        assert reasons(refused) == (401, "sign_in_failed")
        listed = ada.get(f"/v1/access-tokens/{text[:21]}").json()["status"]
        assert listed == ("deactivated" if how == "deactivate" else "active")


def test_a_leavers_tokens_are_handed_over(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    bob = any_installation.new_user(BOB, "Bob Manager", role="manager")
    rita = any_installation.new_user("rita@example.com", "Rita", role="reporting")
    account = ada.post("/v1/service-accounts", json={"name": "Deploys", "role": "customer-service"})
    deploys = {"type": "service_account", "id": account.json()["id"]}
    text = any_installation.access_token("charges:create", maker=BOB)
    path, end = f"/v1/users/{bob.id}/deactivate", {"access_tokens": "hand_over"}
    small = ada.post(path, json={**end, "to": {"type": "user", "id": rita.id}})
    assert reasons(small) == (409, "role_too_small")
    assert [each["field"] for each in small.json()["errors"]] == [f"tokens.{text[:21]}"]
    assert text[:21] in small.json()["detail"]
    gone = {"type": "service_account", "id": "ext:nobody"}
    assert ada.post(path, json={**end, "to": gone}).status_code == 404
    with _decided_meanwhile(any_installation, text) as seen:
        ended = ada.post(path, json={**end, "to": deploys})
    assert (ended.status_code, ended.json()["status"]) == (200, "deactivated")
    assert {decision.reason.value for decision in seen} == {"allowed"}
    assert {decision.owner is not None and decision.owner.active for decision in seen} == {True}
    assert seen[-1].owner.id == deploys["id"]
    assert ada.post(path, json={**end, "to": deploys}).json() == ended.json()
    verified = any_installation.verify(text, permission="charges:create")
    assert (verified["reason"], verified["grant"]["owner"]) == (
        "allowed",
        {**deploys, "external_id": None, "name": "Deploys"},
    )
    event = ada.get("/v1/audit-events", params={"action": "access_token.handed_over"}).json()
    assert event["items"][0]["subject"]["id"] == text[:21]


@contextmanager
def _decided_meanwhile(installation: Installation, text: str) -> Iterator[list[Any]]:
    """The node's decisions about a token, made again and again in a thread."""
    seen: list[Any] = []
    done = threading.Event()

    def decide() -> None:
        while True:
            last = done.is_set()
            seen.append(installation.node.verifier.check(text, permission="charges:create"))
            if last:
                return

    thread = threading.Thread(target=decide)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def test_the_last_administrator_cannot_be_demoted_or_deactivated(
    installation: Installation, bob: str
) -> None:
    path = f"/v1/users/{installation.ada.id}"
    for client in (installation.signed_in(), installation.signed_in(BOB)):
        for answer in (
            client.patch(path, json={"role": "manager"}),
            client.post(path + "/deactivate", json={}),
        ):
            assert reasons(answer) == (409, "last_administrator")
    installation.new_user("grace@example.com", "Grace", role="admin")
    manager = installation.signed_in(BOB)
    for answer in (
        manager.patch(path, json={"role": "manager"}),
        manager.post(path + "/deactivate", json={}),
        manager.patch(f"/v1/users/{bob}", json={"role": "admin"}),
    ):
        assert reasons(answer) == (403, "permission_missing")
        assert 'scope="*"' in answer.headers["www-authenticate"]


def test_an_access_token_can_read_but_not_change(
    installation: Installation, ada: httpx.Client, bob: str
) -> None:
    token = installation.client(installation.access_token("users:*"))
    assert token.get(f"/v1/users/{bob}").status_code == 200
    assert token.get("/v1/users").status_code == 200
    for answer in (
        token.patch(f"/v1/users/{bob}", json={"role": "reporting"}),
        token.post(f"/v1/users/{bob}/deactivate", json={}),
    ):
        assert reasons(answer) == (403, "signed_in_user_required")
    poor = installation.client(installation.access_token("charges:get"))
    assert reasons(poor.get("/v1/users")) == (403, "permission_missing")
    assert reasons(poor.get(f"/v1/users/{bob}")) == (403, "permission_missing")


def test_an_invalid_field_is_named(installation: Installation, ada: httpx.Client, bob: str) -> None:
    path = f"/v1/users/{bob}"
    for change, wrong in (
        ({}, ["role"]),
        ({"role": 7}, ["role"]),
        ({"role": "emperor"}, ["role"]),
        ({"role": "reporting", "name": "Bobby"}, ["name"]),
    ):
        assert fields(ada.patch(path, json=change)) == wrong
    for end, wrong in (
        ({"access_tokens": "forget"}, ["access_tokens"]),
        ({"access_tokens": None}, ["access_tokens"]),
        ({"tokens": "keep"}, ["tokens"]),
        ({"tokens": {"gpat_x": "keep"}}, ["tokens.gpat_x"]),
        ({"tokens": {"gpat_x": "deactivate"}}, ["tokens.gpat_x"]),
        ({"access_tokens": "hand_over"}, ["to"]),
        ({"to": {"type": "user", "id": bob}}, ["to"]),
        ({"access_tokens": "hand_over", "to": {"type": "external", "id": "ext_1"}}, ["to.type"]),
        ({"access_tokens": "hand_over", "to": {"type": "user", "id": bob}}, ["to.id"]),
    ):
        assert fields(ada.post(path + "/deactivate", json=end)) == wrong
    assert ada.get(path).json()["role"] == "manager"


def test_another_companys_users_are_404(installation: Installation, ada: httpx.Client) -> None:
    other = installation.new_company("Difference Engines")
    carl = installation.new_user("carl@example.com", "Carl", company=other)
    for id in (carl.id, "usr_nobody", "x", "%00"):
        path = f"/v1/users/{id}"
        for answer in (
            ada.get(path),
            ada.patch(path, json={"role": "reporting"}),
            ada.post(path + "/deactivate", json={}),
        ):
            assert answer.status_code == 404, id
    assert "carl@example.com" not in ada.get("/v1/users").text
