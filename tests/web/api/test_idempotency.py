"""``Idempotency-Key``: a repeated POST changes nothing and gets the same answer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from gatepass.registry.actor import Actor
from gatepass.registry.directory import admin_keys
from gatepass.registry.storage.idempotent_answers import KEPT_MS
from gatepass.registry.storage.tables import audit_events, idempotent_answers
from tests.support.apps.all_routes import api_routes
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import reasons

KEY = "order-4711-attempt"
TOKEN = {"label": "Till", "kind": "api", "permissions": ["charges:get"]}
WEBHOOK = {"url": "https://hooks.example.com/", "events": ["access_token.*"]}
ACCOUNT = {"name": "Deploys", "role": "customer-service"}
#: POSTs that end the credential in use, or read none.
WITHOUT = {
    *("/v1/sign-out", "/v1/authentications", "/v1/invitations/accept"),
    *("/v1/oidc/back-channel-logout", "/v1/oidc/global-token-revocation"),
    *("/v1/portal-sessions/redeem", "/v1/revoke", "/v1/credentials/revoke"),
    "/v1/credentials/secret-scanning",
    # For access tokens: test_self_rotation.py, test_access_requests.py
    *("/v1/access-tokens/self/rotate", "/v1/access-requests"),
}


def keyed(key: str = KEY) -> dict[str, str]:
    return {"Idempotency-Key": key}


def rows(installation: Installation) -> list[Any]:
    with installation.node.database.read(0) as reading:
        return list(reading.session.execute(select(idempotent_answers)).all())


def events(installation: Installation) -> int:
    """How many there are of the caller; receipts and mail add others later."""
    own = select(audit_events.c.id).where(audit_events.c.actor_kind == "user")
    with installation.node.database.read(0) as reading:
        return len(reading.session.execute(own).all())


def bodies(installation: Installation) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
    """A template, a path and a valid body for every POST of the API."""
    ada = installation.signed_in()
    company = installation.new_company("To End").id
    own = f"/v1/companies/{installation.company.id}"
    token = ada.post("/v1/access-tokens", json=TOKEN).json()["id"]
    agent = installation.client(installation.access_token("charges:get"))
    asked = [
        agent.post("/v1/access-requests", json={"permission": name}).json()["id"]
        for name in ("charges:create", "refunds:get")
    ]
    user = installation.new_user("bob@example.com").id
    ended = installation.new_user("eve@example.com").id
    invitations = [
        ada.post("/v1/invitations", json={"email": f"{n}@example.com", "role": "reporting"}).json()
        for n in range(3)
    ]
    key = installation.verifier_key()[:21]
    admin = installation.do(admin_keys.create, Actor.command_line(), label="x")[0].id
    account, ended_account = (
        ada.post("/v1/service-accounts", json=ACCOUNT).json()["id"] for _ in range(2)
    )
    old, owned = (
        ada.post("/v1/access-tokens", json={**TOKEN, **owner}).json()["id"]
        for owner in ({}, {"owner": {"id": account}})
    )
    installation.require_approval(*TOKEN["permissions"])
    pending = installation.joined("otto@example.com", role="admin").post(
        "/v1/access-tokens", json=TOKEN
    )
    installation.require_approval()
    webhook = f"/v1/webhooks/{ada.post('/v1/webhooks', json=WEBHOOK).json()['id']}"
    delivery = ada.post(f"{webhook}/test").json()["id"]
    sign_in = installation.sign_in()[:21]
    installation.sign_in()
    yield from (
        ("/v1/access-tokens", "/v1/access-tokens", TOKEN),
        (
            "/v1/access-tokens/{id}/approve",
            f"/v1/access-tokens/{pending.json()['id']}/approve",
            None,
        ),
        (
            "/v1/access-tokens/{id}/rehearse",
            f"/v1/access-tokens/{token}/rehearse",
            {"minutes": 5, "share": 10},
        ),
        (
            "/v1/access-tokens/{id}/impact",
            f"/v1/access-tokens/{token}/impact",
            {"change": {"permissions": ["charges:get"]}},
        ),
        (
            "/v1/decisions/explain",
            "/v1/decisions/explain",
            {"access_token": token, "permission": "charges:get"},
        ),
        ("/v1/roles/{id}/preview", "/v1/roles/admin/preview", {"permissions": ["charges:get"]}),
        ("/v1/access-tokens/{id}/rehearse/end", f"/v1/access-tokens/{token}/rehearse/end", None),
        (
            "/v1/access-requests/{id}/approve",
            f"/v1/access-requests/{asked[0]}/approve",
            {"always": True},
        ),
        ("/v1/access-requests/{id}/deny", f"/v1/access-requests/{asked[1]}/deny", None),
        ("/v1/access-tokens/{id}/deactivate", f"/v1/access-tokens/{token}/deactivate", None),
        ("/v1/access-tokens/deactivate", "/v1/access-tokens/deactivate", {"ids": [token]}),
        ("/v1/access-tokens/{id}/rotate", f"/v1/access-tokens/{old}/rotate", {"close": "now"}),
        (
            "/v1/companies/{id}/access-tokens/{token}/rotate",
            f"{own}/access-tokens/{owned}/rotate",
            {"close": "now"},
        ),
        (
            "/v1/authentications/{id}/deactivate",
            f"/v1/authentications/{sign_in}/deactivate",
            None,
        ),
        ("/v1/authentications/deactivate-others", "/v1/authentications/deactivate-others", None),
        ("/v1/verifier-keys", "/v1/verifier-keys", {"label": "x"}),
        ("/v1/verifier-keys/{id}/deactivate", f"/v1/verifier-keys/{key}/deactivate", None),
        ("/v1/admin-keys", "/v1/admin-keys", {"label": "x"}),
        ("/v1/admin-keys/{id}/deactivate", f"/v1/admin-keys/{admin}/deactivate", None),
        ("/v1/companies/{id}/deactivate", f"/v1/companies/{company}/deactivate", None),
        (
            "/v1/companies/{id}/access-tokens",
            f"{own}/access-tokens",
            {**TOKEN, "owner": {"id": account}},
        ),
        (
            "/v1/companies/{id}/access-tokens/{token}/deactivate",
            f"{own}/access-tokens/{token}/deactivate",
            None,
        ),
        (
            "/v1/companies/{id}/owners/{owner}/deactivate",
            f"{own}/owners/{ended_account}/deactivate",
            None,
        ),
        ("/v1/roles", "/v1/roles", {"name": "Tills", "permissions": ["charges:get"]}),
        ("/v1/service-accounts", "/v1/service-accounts", ACCOUNT),
        (
            "/v1/portal-sessions",
            "/v1/portal-sessions",
            {
                "company": installation.company.id,
                "owner": {"id": account},
                "origins": ["https://shop.example"],
                "expires_in": 60,
            },
        ),
        (
            "/v1/service-accounts/{id}/deactivate",
            f"/v1/service-accounts/{account}/deactivate",
            None,
        ),
        ("/v1/invitations", "/v1/invitations", {"email": "z@example.com", "role": "reporting"}),
        (
            "/v1/invitations/{id}/resend",
            f"/v1/invitations/{invitations[0]['id']}/resend",
            None,
        ),
        ("/v1/invitations/{id}/link", f"/v1/invitations/{invitations[1]['id']}/link", None),
        (
            "/v1/invitations/{id}/deactivate",
            f"/v1/invitations/{invitations[2]['id']}/deactivate",
            None,
        ),
        (
            "/v1/users/{id}/second-factor/deactivate",
            f"/v1/users/{user}/second-factor/deactivate",
            None,
        ),
        ("/v1/users/{id}/email", f"/v1/users/{user}/email", {"email": "robert@example.com"}),
        ("/v1/users/{id}/email/cancel", f"/v1/users/{user}/email/cancel", None),
        (
            "/v1/users/{id}/deactivate",
            f"/v1/users/{ended}/deactivate",
            {"access_tokens": "deactivate"},
        ),
        (
            "/v1/me/email",
            "/v1/me/email",
            {"email": "countess@example.com", "password": PASSWORD},
        ),
        ("/v1/me/email/cancel", "/v1/me/email/cancel", None),
        ("/v1/company/allowlist/preview", "/v1/company/allowlist/preview", {"entries": []}),
        ("/v1/catalogue/preview", "/v1/catalogue/preview", {"text": "permissions: {}"}),
        (
            "/v1/company/token-policy/preview",
            "/v1/company/token-policy/preview",
            {
                "longest_life_days": 90,
                "networks_required": True,
                "unused_days": None,
                "approval_required": [],
                "warn_days": [],
            },
        ),
        ("/v1/webhooks", "/v1/webhooks", WEBHOOK),
        ("/v1/webhooks/{id}/rotate-secret", f"{webhook}/rotate-secret", None),
        ("/v1/webhooks/{id}/test", f"{webhook}/test", None),
        (
            "/v1/webhooks/{id}/deliveries/{delivery}/resend",
            f"{webhook}/deliveries/{delivery}/resend",
            None,
        ),
    )


def test_every_post_is_carried_out_once(any_installation: Installation) -> None:
    made = list(bodies(any_installation))
    posts = {path for path, route in api_routes() if "POST" in route.methods}
    assert posts - WITHOUT == {template for template, _, _ in made}, "teach this test the new one"
    ada = any_installation.signed_in()
    for number, (template, path, body) in enumerate(made):
        first = ada.post(path, json=body, headers=keyed())
        assert first.is_success, (path, first.text)
        before = events(any_installation)
        again = ada.post(path, json=body, headers=keyed())
        assert (again.status_code, again.content) == (first.status_code, first.content), template
        for name in ("etag", "location", "content-type", "cache-control"):
            assert again.headers.get(name) == first.headers.get(name), (template, name)
        assert events(any_installation) == before, template
        # Another path has an answer of its own: each of these used the same key.
        assert len(rows(any_installation)) == number + 1
        other = ada.post(path, content=b'{"another": "body"}', headers=keyed())
        assert other.status_code in (409, 422), template
    for row in rows(any_installation):
        assert len(row.key_digest) == 32
        assert KEY.encode() not in row.sealed


def test_another_body_is_a_mismatch(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    first = ada.post("/v1/access-tokens", json=TOKEN, headers=keyed())
    other = ada.post("/v1/access-tokens", json={**TOKEN, "label": "Other"}, headers=keyed())
    assert reasons(other) == (409, "idempotency_mismatch")
    another_key = ada.post("/v1/access-tokens", json=TOKEN, headers=keyed("order-4712-attempt"))
    assert another_key.json()["id"] != first.json()["id"]


def test_the_caller_is_admitted_and_checked_each_time(installation: Installation) -> None:
    installation.new_user("bob@example.com", role="admin")
    bob = installation.signed_in("bob@example.com")
    user = bob.get("/v1/me").json()["user"]["id"]
    assert bob.post("/v1/access-tokens", json=TOKEN, headers=keyed()).status_code == 201
    ada = installation.signed_in()
    ada.patch(f"/v1/users/{user}", json={"role": "reporting"})
    refused = bob.post("/v1/access-tokens", json=TOKEN, headers=keyed())
    assert reasons(refused) == (403, "permission_missing")
    ada.post(f"/v1/users/{user}/deactivate", json={"access_tokens": "keep"})
    refused = bob.post("/v1/access-tokens", json=TOKEN, headers=keyed())
    assert reasons(refused) == (401, "account_deactivated")


def test_another_credential_finds_nothing(installation: Installation) -> None:
    one, two = installation.signed_in(), installation.signed_in()
    first = one.post("/v1/access-tokens", json=TOKEN, headers=keyed())
    second = two.post("/v1/access-tokens", json=TOKEN, headers=keyed())
    assert first.json()["token"] != second.json()["token"]


def test_refusals_are_not_kept(installation: Installation) -> None:
    ada = installation.signed_in()
    invalid = ada.post("/v1/access-tokens", json={**TOKEN, "label": ""}, headers=keyed())
    assert invalid.status_code == 422
    assert rows(installation) == []
    assert ada.post("/v1/access-tokens", json=TOKEN, headers=keyed()).status_code == 201


@pytest.mark.parametrize("key", ["short", "x" * 256, "with a space in it", "ümlaut-ümlaut-üm", ""])
def test_what_is_no_key_is_422(installation: Installation, key: str) -> None:
    headers = {"Idempotency-Key": key.encode()}
    answer = installation.signed_in().post("/v1/access-tokens", json=TOKEN, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    anonymous = installation.client().post("/v1/access-tokens", json=TOKEN, headers=headers)
    assert reasons(anonymous) == (401, "token_missing")


def test_two_keys_in_one_request_are_422(installation: Installation) -> None:
    headers = [("Idempotency-Key", KEY), ("Idempotency-Key", KEY)]
    answer = installation.signed_in().post("/v1/access-tokens", json=TOKEN, headers=headers)
    assert answer.status_code == 422


def test_equal_requests_at_the_same_time_make_one(any_installation: Installation) -> None:
    token = any_installation.sign_in()

    def post(_: int) -> httpx.Response:
        client = any_installation.client(token)
        return client.post("/v1/access-tokens", json=TOKEN, headers=keyed())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    listed = any_installation.client(token).get("/v1/access-tokens").json()["items"]
    assert len(listed) == 1


def test_after_a_day_it_is_carried_out_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = installation.do(admin_keys.create, Actor.command_line(), label="x")[1]
    client = installation.client(key)
    body = {"label": "gateway"}
    first = client.post("/v1/verifier-keys", json=body, headers=keyed()).json()
    clock = installation.node.clock
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + KEPT_MS)
    second = client.post("/v1/verifier-keys", json=body, headers=keyed()).json()
    assert first["id"] != second["id"]
    assert len(rows(installation)) == 1
    again = client.post("/v1/verifier-keys", json=body, headers=keyed()).json()
    assert again == second


def test_what_is_stored_opens_nothing(installation: Installation) -> None:
    """Neither the credential, the key nor a secret of the answer is in the database."""
    login = installation.sign_in()
    answer = installation.client(login).post("/v1/access-tokens", json=TOKEN, headers=keyed())
    secret = answer.json()["token"][21:53]
    with installation.node.database.read(0) as reading:
        stored = repr(reading.session.execute(text("SELECT * FROM idempotent_answers")).all())
    for hidden in (secret, KEY, login[21:53], "Till"):
        assert hidden not in stored


def test_the_answers_kept_of_an_access_token_are_bounded(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may ask for the same permission with ever new keys, which changes nothing."""
    monkeypatch.setattr("gatepass.registry.storage.idempotent_answers.MOST_KEPT", 2)
    agent = installation.client(installation.access_token("charges:get"))

    def ask(key: str) -> httpx.Response:
        wanted = {"permission": "charges:create"}
        return agent.post("/v1/access-requests", json=wanted, headers=keyed(key))

    first = ask("attempt-number-1")
    assert [first.status_code, ask("attempt-number-2").status_code] == [202, 202]
    refused = ask("attempt-number-3")
    assert reasons(refused) == (429, "too_many_attempts")
    assert 0 < int(refused.headers["retry-after"]) <= KEPT_MS // 1_000
    assert len(rows(installation)) == 2
    # What is kept is still answered, and without a key nothing is kept.
    assert ask("attempt-number-1").json() == first.json()
    assert agent.post("/v1/access-requests", json={"permission": "charges:create"}).is_success
    ada = installation.signed_in()
    for number in range(3):
        made = ada.post("/v1/access-tokens", json=TOKEN, headers=keyed(f"attempt-number-{number}"))
        assert made.status_code == 201
