"""``/v1/authentications``, signing out, and ``/v1/me``."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import reasons


def attempt(client: httpx.Client, email: str, password: Any = "wrong", **more: Any) -> Any:
    body = {"email": email, "password": password, **more}
    return client.post("/v1/authentications", json=body)


def test_a_session_from_sign_in_to_sign_out(any_installation: Installation) -> None:
    answer = attempt(any_installation.client(), "ADA@example.com", PASSWORD, code=None)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    text, made = answer.json()["token"], answer.json()["authentication"]
    assert text.startswith(made["id"])
    assert made["id"].startswith("gplt_")
    created, expires = made["created_at"], made["expires_at"]
    assert made == {
        "id": text[:21],
        "user": any_installation.ada.id,
        "user_name": "Ada Lovelace",
        "status": "active",
        "created_at": created,
        "expires_at": expires,
        "address": "127.0.0.1",
        "user_agent": "testclient",
        "current": True,
        "deactivated_at": None,
    }
    ada = any_installation.client(text)
    assert ada.get("/v1/authentications").json() == {"items": [made], "next": None}
    assert ada.get("/v1/me").json() == {
        "kind": "login",
        "user": {
            "id": any_installation.ada.id,
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "role": "admin",
        },
        "company": {"id": any_installation.company.id, "name": "Analytical Engines"},
        "permissions": ["*"],
        "address": "127.0.0.1",
        "expires_at": expires,
    }
    gone = ada.post("/v1/sign-out")
    assert (gone.status_code, gone.content) == (204, b"")
    assert "content-type" not in gone.headers
    assert ada.get("/v1/me").json()["reason"] == "token_deactivated"
    other = any_installation.signed_in()
    statuses = [one["status"] for one in other.get("/v1/authentications").json()["items"]]
    assert sorted(statuses) == ["active", "deactivated"]


def test_me_describes_the_callers_token(installation: Installation) -> None:
    token = installation.access_token(
        "charges:*", "audit:get", kind="ui", expires_at="2126-01-01T00:00:00Z"
    )
    me = (
        installation.client(token, peer="2001:db8::7")
        .get("/v1/me", headers={"Origin": "https://shop.example.com"})
        .json()
    )
    assert me["kind"] == "ui"
    assert me["permissions"] == ["audit:get", "charges:*"]
    assert me["address"] == "2001:db8::7"
    assert me["expires_at"] == "2126-01-01T00:00:00.000Z"
    never = installation.client(installation.access_token("charges:get")).get("/v1/me").json()
    assert (never["kind"], never["expires_at"]) == ("api", None)


def test_every_failed_sign_in_gets_the_same_answer(any_installation: Installation) -> None:
    client = any_installation.client()
    answers = [
        attempt(client, "ada@example.com"),
        attempt(client, "nobody@example.com"),
        attempt(client, "nobody@example.com", PASSWORD),
        attempt(client, "ada@example.com", ""),
        attempt(client, "ada@example.com", "x" * 1025),
        attempt(client, "ada@example.com", "ä" * 600),
        attempt(client, "ada@example.com", PASSWORD + "\0"),
        attempt(client, "", ""),
        attempt(client, "a\0b@example.com", PASSWORD),
        attempt(client, "x" * 3_000, PASSWORD),
    ]
    any_installation.allow_only("203.0.113.0/24")
    answers.append(attempt(client, "ada@example.com", PASSWORD))
    for answer in answers:
        assert answer.status_code == 401
        assert answer.content == answers[0].content
        assert dict(answer.headers) == dict(answers[0].headers)
    assert answers[0].json()["reason"] == "sign_in_failed"
    inside = {"X-Forwarded-For": "203.0.113.9"}
    body = {"email": "ada@example.com", "password": PASSWORD}
    assert client.post("/v1/authentications", json=body, headers=inside).status_code == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "ada@example.com"}, "password"),
        ({"password": "x"}, "email"),
        ({"email": 1, "password": "x"}, "email"),
        ({"email": "ada@example.com", "password": None}, "password"),
        ({"email": "ada@example.com", "password": "x", "code": 123456}, "code"),
        ({"email": "ada@example.com", "password": "x", "remember": True}, "remember"),
    ],
)
def test_an_invalid_body_is_422(installation: Installation, body: Any, field: str) -> None:
    answer = installation.client().post("/v1/authentications", json=body)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_an_unpaired_surrogate_is_422(installation: Installation) -> None:
    answer = installation.client().post(
        "/v1/authentications", content=b'{"email": "ada@example.com", "password": "\\ud800"}'
    )
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ["password"]


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com"])
def test_the_eleventh_failure_is_429_with_retry_after(
    installation: Installation, email: str
) -> None:
    client = installation.client()
    for _ in range(10):
        assert attempt(client, email).status_code == 401
    refused = attempt(client, email)
    assert reasons(refused) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
    assert attempt(client, email, PASSWORD).status_code == 429
    installation.new_user("bob@example.com")
    assert attempt(client, "bob@example.com", PASSWORD).status_code == 201


def test_users_deactivate_their_own_sign_ins_and_with_permission_others(
    any_installation: Installation,
) -> None:
    bob = any_installation.new_user("bob@example.com", role="customer-service")
    theirs = any_installation.new_company("Difference Engines")
    any_installation.new_user("eve@example.com", "Eve", company=theirs)
    adas, bobs = any_installation.signed_in(), any_installation.signed_in("bob@example.com")
    eves = any_installation.signed_in("eve@example.com")

    def latest(client: httpx.Client) -> str:
        return str(client.get("/v1/authentications").json()["items"][0]["id"])

    def end(client: httpx.Client, id: str) -> httpx.Response:
        return client.post(f"/v1/authentications/{id}/deactivate")

    assert end(bobs, latest(adas)).status_code == 404
    assert end(eves, latest(bobs)).status_code == 404
    assert end(adas, latest(eves)).status_code == 404
    ended = end(adas, latest(bobs))
    assert ended.json()["status"] == "deactivated"
    assert ended.json()["current"] is False
    assert ended.headers["etag"][0] == '"'
    assert bobs.get("/v1/me").json()["reason"] == "token_deactivated"
    again = end(adas, ended.json()["id"])
    assert (again.status_code, again.json()) == (200, ended.json())

    own = adas.get("/v1/authentications").json()["items"]
    assert {one["user"] for one in own} == {any_installation.ada.id}
    of_bob = adas.get("/v1/authentications", params={"user": bob.id}).json()["items"]
    assert {one["user"] for one in of_bob} == {bob.id}
    everyone = adas.get("/v1/authentications", params={"user": "all"}).json()["items"]
    assert {one["user"] for one in everyone} == {bob.id, any_installation.ada.id}
    bobs = any_installation.signed_in("bob@example.com")
    refused = bobs.get("/v1/authentications", params={"user": "all"})
    assert reasons(refused) == (403, "permission_missing")
    assert 'scope="users:manage"' in refused.headers["www-authenticate"]


def test_an_unknown_users_list_is_404(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    theirs = any_installation.new_company("Difference Engines")
    eve = any_installation.new_user("eve@example.com", "Eve", company=theirs)
    for user in ("usr_0000000000000000", "x", "a\0b", "x" * 9_000, "😀", "", eve.id):
        answer = ada.get("/v1/authentications", params={"user": user})
        assert reasons(answer) == (404, "not_found"), user


def test_the_user_agent_is_stored_as_one_printable_line(installation: Installation) -> None:
    sent: list[tuple[bytes, Callable[[str], bool]]] = [
        (b"Mozilla/5.0 (X11)", lambda kept: kept == "Mozilla/5.0 (X11)"),
        (b"x" * 5_000, lambda kept: 0 < len(kept) <= 1_000),
        (b"a\x85b\xff", lambda kept: kept.isprintable()),
    ]
    for header, fits in sent:
        answer = installation.client().post(
            "/v1/authentications",
            json={"email": "ada@example.com", "password": PASSWORD},
            headers=[(b"User-Agent", header)],
        )
        assert fits(answer.json()["authentication"]["user_agent"])


def test_deactivating_all_others_keeps_the_current_sign_in(any_installation: Installation) -> None:
    others = [any_installation.signed_in() for _ in range(2)]
    ada = any_installation.signed_in()
    answer = ada.post("/v1/authentications/deactivate-others", json={})
    assert (answer.status_code, answer.json()) == (200, {"deactivated": 2})
    for other in others:
        assert reasons(other.get("/v1/me")) == (401, "token_deactivated")
    assert ada.post("/v1/authentications/deactivate-others").json() == {"deactivated": 0}
    token = any_installation.client(any_installation.access_token("charges:get"))
    refused = token.post("/v1/authentications/deactivate-others")
    assert reasons(refused) == (403, "signed_in_user_required")
