"""Credentials of requests to ``/v1``, and the challenges of refusals."""

from typing import Any

import pytest
from fastapi import APIRouter
from starlette.testclient import TestClient

from gatepass.registry.network_policy import allowlist_entries
from gatepass.web.app import create_app
from gatepass.web.caller import Authenticated
from tests.support.apps.installation import Installation
from tests.support.apps.problems import reasons

Headers = list[tuple[str, str | bytes]]


def ask(installation: Installation, headers: Headers, peer: str = "127.0.0.1") -> Any:
    raw = [(n.encode(), v.encode() if isinstance(v, str) else v) for n, v in headers]
    return installation.client(peer=peer).get("/v1/me", headers=raw)


def outcome(installation: Installation, headers: Headers) -> str:
    answer = ask(installation, headers)
    return "allowed" if answer.status_code == 200 else answer.json()["reason"]


@pytest.fixture
def text(installation: Installation) -> str:
    return installation.sign_in()


def test_one_credential_is_accepted_in_either_or_both_headers(
    installation: Installation, text: str
) -> None:
    bearer, other = ("Authorization", f"Bearer {text}"), ("x-access-token", text)
    for headers in (
        [bearer],
        [("authorization", f"bEARER {text}")],
        [other],
        [bearer, other],
        [bearer, bearer],
        [other, other, bearer],
        [("Authorization", "Basic QTpC"), other],
        [("Authorization", "Basic QTpC"), bearer],
    ):
        assert outcome(installation, headers) == "allowed", headers


def test_two_different_credentials_are_refused(installation: Installation, text: str) -> None:
    another = installation.sign_in()
    for headers in (
        [("Authorization", f"Bearer {text}"), ("x-access-token", another)],
        [("Authorization", f"Bearer {text}"), ("Authorization", f"Bearer {another}")],
        [("x-access-token", text), ("x-access-token", another)],
        [("x-access-token", text), ("x-access-token", b"\xff")],
        [("x-access-token", f"{text}, {text}")],
    ):
        assert outcome(installation, headers) == "token_invalid", headers


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "token_missing"),
        ([("Authorization", "")], "token_missing"),
        ([("Authorization", "Bearer")], "token_missing"),
        ([("Authorization", "Bearer ")], "token_missing"),
        ([("Authorization", "Basic QTpC")], "token_missing"),
        ([("x-access-token", "")], "token_missing"),
        ([("Authorization", "Bearer nonsense")], "token_invalid"),
        ([("x-access-token", b"\xc3\xa4")], "token_invalid"),
        ([("Authorization", b"Bearer \xff")], "token_invalid"),
        ([("x-access-token", "gplt_" + "0" * 54)], "token_invalid"),
    ],
)
def test_a_missing_credential_is_distinguished_from_an_invalid_one(
    installation: Installation, headers: Headers, reason: str
) -> None:
    assert reasons(ask(installation, headers)) == (401, reason)


def test_credentials_in_the_url_are_ignored(installation: Installation, text: str) -> None:
    answer = installation.client().get(
        "/v1/me", params={"access_token": text, "token": text, "x-access-token": text}
    )
    assert answer.json()["reason"] == "token_missing"


def test_every_401_challenges_and_names_an_error_only_if_a_token_was_sent(
    installation: Installation, text: str
) -> None:
    assert ask(installation, []).headers["www-authenticate"] == 'Bearer realm="gatepass"'
    wrong = ask(installation, [("x-access-token", "nonsense")]).headers["www-authenticate"]
    assert wrong.startswith('Bearer realm="gatepass", error="invalid_token", error_description="')
    installation.client(text).post("/v1/sign-out")
    ended = ask(installation, [("x-access-token", text)])
    assert ended.json()["reason"] == "token_deactivated"
    assert 'error="invalid_token"' in ended.headers["www-authenticate"]
    failed = installation.client().post(
        "/v1/authentications", json={"email": "nobody@example.com", "password": "wrong"}
    )
    assert failed.headers["www-authenticate"] == 'Bearer realm="gatepass"'


def test_a_403_has_a_challenge_only_for_a_missing_permission(installation: Installation) -> None:
    installation.new_user("bob@example.com", role="reporting")
    refused = installation.signed_in("bob@example.com").post(
        "/v1/access-tokens", json={"label": "a", "kind": "api", "permissions": ["audit:get"]}
    )
    assert reasons(refused) == (403, "permission_missing")
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="gatepass", error="insufficient_scope", scope="access-tokens:create"'
    )
    token = installation.access_token("access-tokens:*")
    refused = installation.client(token).post(
        "/v1/access-tokens", json={"label": "a", "kind": "api", "permissions": ["charges:get"]}
    )
    assert reasons(refused) == (403, "signed_in_user_required")
    assert "www-authenticate" not in refused.headers


def test_a_verifier_key_is_refused(installation: Installation) -> None:
    key = installation.verifier_key()
    assert outcome(installation, [("x-access-token", key)]) == "token_invalid"


def test_a_token_with_networks_is_refused_from_other_addresses(installation: Installation) -> None:
    token = installation.access_token("charges:get", networks=["203.0.113.0/24"])
    inside = installation.client(token).get("/v1/me", headers={"X-Forwarded-For": "203.0.113.9"})
    assert inside.json()["address"] == "203.0.113.9"
    outside = installation.client(token).get("/v1/me")
    assert reasons(outside) == (403, "address_not_allowed")
    assert "www-authenticate" not in outside.headers


def test_forwarding_headers_of_untrusted_peers_are_ignored(
    installation: Installation,
) -> None:
    text = installation.sign_in()
    answer = installation.client(text, peer="198.51.100.7").get(
        "/v1/me", headers={"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
    )
    assert answer.json()["address"] == "198.51.100.7"


@pytest.mark.parametrize("garbage", ["nonsense", "203.0.113.9, ", "1.2.3", b"\xff"])
def test_an_unreadable_forwarding_header_is_refused_everywhere(
    installation: Installation, text: str, garbage: str | bytes
) -> None:
    header = ("x-forwarded-for", garbage)
    refused = ask(installation, [("x-access-token", text), header])
    assert reasons(refused) == (403, "address_not_allowed")
    raw = [(b"x-forwarded-for", garbage.encode() if isinstance(garbage, str) else garbage)]
    refused = installation.client().post(
        "/v1/authentications", json={"email": "ada@example.com", "password": "x"}, headers=raw
    )
    assert reasons(refused) == (403, "address_not_allowed")


def test_outside_the_allowlist_a_valid_credential_gets_403_and_an_invalid_one_401(
    any_installation: Installation,
) -> None:
    text = any_installation.sign_in()
    any_installation.allow_only(allowlist_entries.Entry("203.0.113.0/24", "office"))
    for path in (
        "/v1/me",
        "/v1/permissions",
        "/v1/access-tokens",
        "/v1/access-tokens?limit=1&limit=1",
        "/v1/openapi.json",
    ):
        refused = any_installation.client(text).get(path)
        assert refused.status_code == 403, path
        assert refused.json()["reason"] == "company_address_not_allowed", path
        assert "www-authenticate" not in refused.headers
    assert any_installation.client("gplt_nonsense").get("/v1/me").status_code == 401
    twice = any_installation.client().get("/v1/access-tokens?limit=1&limit=1")
    assert reasons(twice) == (401, "token_missing")
    assert any_installation.client().get("/v1/openapi.json").status_code == 200
    inside = any_installation.client(text).get("/v1/me", headers={"X-Forwarded-For": "203.0.113.9"})
    assert inside.status_code == 200


def test_a_ui_token_is_accepted_from_its_domains_only(installation: Installation) -> None:
    token = installation.access_token("charges:get", kind="ui", domains=["shop.example.com"])
    client = installation.client(token)
    for headers, reason in (
        ({}, "origin_missing"),
        ({"Origin": "https://elsewhere.example"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
        ({"Origin": "https://shop.example.com"}, None),
        ({"Referer": "https://shop.example.com/basket?x=1"}, None),
    ):
        answer = client.get("/v1/me", headers=headers)
        assert (answer.json().get("reason"), headers) == (reason, headers)
    twice = client.get("/v1/me", headers=[("Origin", "https://shop.example.com")] * 2)
    assert twice.json()["reason"] == "origin_not_allowed"


def test_an_operators_token_has_no_operator_rights(installation: Installation) -> None:
    """Operator rights belong to users, never to tokens."""
    asked = APIRouter()

    @asked.get("/asked")
    def operator(actor: Authenticated) -> bool:
        return actor.operator

    app = create_app(installation.node, extra=[asked])
    for text, expected in (
        (installation.sign_in(), True),
        (installation.access_token("users:*"), False),
    ):
        client = TestClient(app, client=("127.0.0.1", 50_000))
        answer = client.get("/asked", headers={"x-access-token": text})
        assert answer.json() is expected


def test_a_credential_revoked_before_its_write_begins_writes_nothing(
    installation: Installation, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request deactivates it after admission."""
    database = installation.node.database
    changing = database.write

    def ended_meanwhile(now: int) -> Any:
        monkeypatch.setattr(database, "write", changing)
        installation.client(text).post("/v1/sign-out")
        return changing(now)

    monkeypatch.setattr(database, "write", ended_meanwhile)
    refused = installation.client(text).post(
        "/v1/access-tokens", json={"label": "a", "kind": "api", "permissions": ["charges:get"]}
    )
    assert reasons(refused) == (401, "token_deactivated")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
