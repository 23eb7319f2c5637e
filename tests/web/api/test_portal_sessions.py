"""Portal sessions: opening, redeeming, and what they reach."""

import pytest

from tests.support.apps.installation import Installation
from tests.support.apps.portal import PAGE, Portal
from tests.support.apps.problems import reasons

CONFIG = {"label": "mine", "kind": "api", "permissions": ["charges:get"]}


@pytest.fixture
def portal(installation: Installation) -> Portal:
    return Portal(installation)


def test_a_page_manages_the_tokens_of_its_owner(any_installation: Installation) -> None:
    portal = Portal(any_installation)
    opened = portal.opened(owner={"external_id": "customer-7"})
    assert opened["id"].startswith("gpps_")
    assert opened["url"] == f"http://127.0.0.1:8787/portal/{opened['id']}#{opened['code']}"
    redeemed = portal.redeem(opened["code"])
    assert redeemed.status_code == 201, redeemed.text
    token = redeemed.json()["token"]
    assert token.startswith(opened["id"])
    page = portal.page(token)
    me = page.get("/v1/me").json()
    assert me["kind"] == "portal"
    assert me["user"]["id"] == portal.owner.id
    assert me["permissions"] == ["charges:create", "charges:get"]
    assert me["expires_at"] == redeemed.json()["expires_at"]
    assert "charges:get" in [each["name"] for each in page.get("/v1/permissions").json()["items"]]
    made = page.post("/v1/access-tokens", json=CONFIG)
    assert made.status_code == 201, made.text
    record = made.json()
    text = record.pop("token")
    assert record["owner"]["id"] == portal.owner.id
    assert (record["created_by"], record["created_by_name"]) == (None, "Customer 7")
    assert page.get("/v1/access-tokens").json()["items"] == [record]
    assert any_installation.verify(text, permission="charges:get")["allowed"]
    got = page.get(f"/v1/access-tokens/{record['id']}")
    changed = page.patch(
        f"/v1/access-tokens/{record['id']}",
        json={"label": "renamed"},
        headers={"If-Match": got.headers["etag"]},
    )
    assert changed.json()["label"] == "renamed"
    ended = page.post(f"/v1/access-tokens/{record['id']}/deactivate").json()
    assert ended["status"] == "deactivated"
    assert (ended["deactivated_by"], ended["deactivated_by_name"]) == (None, "Customer 7")
    assert not any_installation.verify(text, permission="charges:get")["allowed"]


def test_a_code_is_redeemed_once(portal: Portal) -> None:
    code = portal.opened()["code"]
    assert portal.redeem(code).status_code == 201
    assert reasons(portal.redeem(code)) == (410, "code_broken")


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", "http://shop.example"])
def test_another_page_does_not_use_it_up(portal: Portal, origin: str | None) -> None:
    code = portal.opened()["code"]
    assert reasons(portal.redeem(code, origin)) == (403, "origin_not_allowed")
    assert portal.redeem(code, PAGE).status_code == 201


ALLOW_ORIGIN = "access-control-allow-origin"


def test_answers_name_the_origin_of_the_session_alone(portal: Portal) -> None:
    token = portal.token()
    for origin, named in ((PAGE, PAGE), ("https://evil.example", None)):
        answer = portal.page(token, origin).get("/v1/me")
        assert answer.headers.get(ALLOW_ORIGIN) == named
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
    assert "ETag" in portal.page(token).get("/v1/me").headers["access-control-expose-headers"]
    assert reasons(portal.page(token, "https://evil.example").get("/v1/me")) == (
        403,
        "origin_not_allowed",
    )


def test_preflights_name_any_origin(portal: Portal) -> None:
    client = portal.installation.client()
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PATCH"}
    answer = client.options("/v1/access-tokens/gpat_0000000000000000", headers=asked)
    assert answer.status_code == 204
    assert answer.headers[ALLOW_ORIGIN] == "https://evil.example"
    assert answer.headers["access-control-allow-methods"] == "GET, PATCH"
    assert answer.headers["access-control-allow-headers"] == (
        "Authorization, Content-Type, If-Match, Idempotency-Key"
    )
    assert answer.headers["vary"] == "Origin"
    elsewhere = client.options("/v1/users", headers=asked)
    assert elsewhere.status_code == 405
    assert ALLOW_ORIGIN not in elsewhere.headers
