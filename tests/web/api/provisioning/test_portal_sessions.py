"""Portal sessions: opening and redeeming them, and when they end."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text

from gatepass.core.credentials import make, parse
from gatepass.core.decision import Reason
from gatepass.registry.actor import Actor
from gatepass.registry.directory import admin_keys
from gatepass.registry.membership import (
    company_offboarding,
    offboarding,
    owner_offboarding,
)
from gatepass.registry.membership.operators import name_operator
from gatepass.registry.storage.tables import portal_sessions, token_use
from tests.support.apps.installation import Installation
from tests.support.apps.portal import PAGE, Portal
from tests.support.apps.problems import reasons

HERE = "http://127.0.0.1:8787"
TOKEN = {"label": "mine", "kind": "api", "permissions": ["charges:get"]}
COMMAND_LINE = Actor.command_line()


@pytest.fixture
def portal(installation: Installation) -> Portal:
    return Portal(installation)


def later(installation: Installation, monkeypatch: pytest.MonkeyPatch, ms: int) -> None:
    """Move the node's clock on."""
    clock = installation.node.clock
    monkeypatch.setattr(clock, "offset_ns", clock.offset_ns + ms * 1_000_000)


def test_a_page_sets_metadata_but_no_external_id(installation: Installation) -> None:
    """It would find out which external ids the tokens of other owners have."""
    portal = Portal(installation)
    page = portal.page()
    where = f"/v1/companies/{installation.company.id}/access-tokens"
    theirs = {**TOKEN, "owner": {"id": portal.owner.id}, "external_id": "deploy/7"}
    path = f"/v1/access-tokens/{portal.backend.post(where, json=theirs).json()['id']}"
    for external_id in ("deploy/7", "deploy/8"):
        changed = {"external_id": external_id}
        made = page.post("/v1/access-tokens", json={**TOKEN, **changed})
        assert reasons(made) == (403, "portal_session")
    assert reasons(page.patch(path, json={"external_id": "deploy/8"})) == (403, "portal_session")
    kept = page.patch(path, json={"external_id": "deploy/7", "metadata": {"team": "theirs"}})
    assert (kept.status_code, kept.json()["metadata"]) == (200, {"team": "theirs"}), kept.text
    assert page.patch(path, json={"external_id": None}).json()["external_id"] is None


def test_a_page_manages_the_tokens_of_its_owner(any_installation: Installation) -> None:
    portal = Portal(any_installation)
    opened = portal.opened(owner={"external_id": "customer-7"})
    assert opened.keys() == {"id", "code", "url"}
    assert opened["url"] == f"{HERE}/portal/{opened['id']}#{opened['code']}"
    redeemed = portal.redeem(opened["code"])
    assert redeemed.status_code == 201, redeemed.text
    assert redeemed.json().keys() == {"token", "expires_at"}
    assert redeemed.headers["cache-control"] == "no-store"
    token = redeemed.json()["token"]
    assert token.startswith(opened["id"])
    page = portal.page(token)
    me = page.get("/v1/me").json()
    assert me["kind"] == "portal"
    assert me["user"]["id"] == portal.owner.id
    assert me["permissions"] == ["charges:create", "charges:get"]
    assert me["expires_at"] == redeemed.json()["expires_at"]
    assert "charges:get" in [each["name"] for each in page.get("/v1/permissions").json()["items"]]
    made = page.post("/v1/access-tokens", json=TOKEN)
    assert made.status_code == 201, made.text
    record = made.json()
    access_token = record.pop("token")
    assert record["owner"]["id"] == portal.owner.id
    assert (record["created_by"], record["created_by_name"]) == (None, "Customer 7")
    assert page.get("/v1/access-tokens").json()["items"] == [record]
    assert any_installation.verify(access_token, permission="charges:get")["allowed"]
    path = f"/v1/access-tokens/{record['id']}"
    etag = page.get(path).headers["etag"]
    changed = page.patch(path, json={"label": "renamed"}, headers={"If-Match": etag})
    assert changed.json()["label"] == "renamed"
    again = page.patch(path, json={"label": "once more"}, headers={"If-Match": etag})
    assert reasons(again) == (409, "changed_meanwhile")
    ended = page.post(f"{path}/deactivate").json()
    assert ended["status"] == "deactivated"
    assert (ended["deactivated_by"], ended["deactivated_by_name"]) == (None, "Customer 7")
    assert not any_installation.verify(access_token, permission="charges:get")["allowed"]


def test_a_signed_in_operator_opens_them_too(portal: Portal) -> None:
    ada = portal.installation.signed_in()
    portal.backend = ada
    assert portal.page().get("/v1/me").status_code == 200
    boss = portal.installation.joined("bob@example.com", role="admin")
    refused = boss.post("/v1/portal-sessions", json=portal.body())
    assert reasons(refused) == (403, "operator_required")
    token = portal.installation.client(portal.installation.access_token("charges:get"))
    refused = token.post("/v1/portal-sessions", json=portal.body())
    assert reasons(refused) == (403, "signed_in_user_required")


@pytest.mark.parametrize(
    ("field", "value", "at"),
    [
        ("origins", [], "origins"),
        ("origins", ["https://shop.example"] * 11, "origins"),
        ("origins", [PAGE, "http://shop.example"], "origins.1"),
        ("origins", ["*"], "origins.0"),
        ("origins", ["null"], "origins.0"),
        ("origins", ["https://shop.example/"], "origins.0"),
        ("origins", ["https://shop.example; script-src *"], "origins.0"),
        ("origins", ["https://*.example"], "origins.0"),
        ("origins", ["https://192.0.2.1"], "origins.0"),
        ("origins", ["capacitor://app"], "origins.0"),
        ("permissions", [], "permissions"),
        ("permissions", ["charges:get", "refunds:get"], "permissions.1"),
        ("permissions", ["charges:*"], "permissions.0"),
        ("permissions", ["*"], "permissions.0"),
        ("permissions", ["access-tokens:get"], "permissions.0"),
        ("expires_in", 0, "expires_in"),
        ("expires_in", 3601, "expires_in"),
        ("expires_in", True, "expires_in"),
        ("expires_in", "60", "expires_in"),
        ("owner", {}, "owner"),
        ("owner", {"id": "x", "external_id": "y"}, "owner"),
        ("kind", "portal", "kind"),
    ],
)
def test_what_is_not_valid_is_422(portal: Portal, field: str, value: object, at: str) -> None:
    answer = portal.backend.post("/v1/portal-sessions", json=portal.body(**{field: value}))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == at


def test_unknown_companies_and_owners_are_404_and_ended_ones_409(portal: Portal) -> None:
    installation = portal.installation
    named = {"name": "Difference Engines"}
    other = portal.backend.put("/v1/companies/by-external-id/other", json=named).json()["id"]
    elsewhere = portal.new_owner("theirs", "Theirs", company=other, role="customer-service")
    limited = installation.client(
        installation.do(
            admin_keys.create, COMMAND_LINE, label="x", company=installation.company.id
        )[1]
    )
    for client, fields in (
        (portal.backend, {"company": "com_0000000000000000"}),
        (portal.backend, {"company": "ext:other", "owner": {"id": elsewhere.id}}),
        (portal.backend, {"owner": {"id": installation.ada.id}}),
        (portal.backend, {"owner": {"id": "ext:customer-7"}}),
        (portal.backend, {"owner": {"id": elsewhere.id}}),
        (portal.backend, {"owner": {"external_id": "theirs"}}),
        (limited, {"company": other, "owner": {"id": elsewhere.id}}),
    ):
        answer = client.post("/v1/portal-sessions", json=portal.body(**fields))
        assert reasons(answer) == (404, "not_found"), fields
    installation.do(
        owner_offboarding.deactivate_of, COMMAND_LINE, installation.company.id, portal.owner.id
    )
    answer = portal.backend.post("/v1/portal-sessions", json=portal.body())
    assert reasons(answer) == (409, "owner_deactivated")
    installation.do(company_offboarding.deactivate, COMMAND_LINE, other)
    ended = portal.body(company=other, owner={"id": elsewhere.id})
    answer = portal.backend.post("/v1/portal-sessions", json=ended)
    assert reasons(answer) == (409, "company_deactivated")


def test_an_admin_key_needs_the_permission(portal: Portal) -> None:
    installation = portal.installation
    areas = ["companies", "owners", "tokens", "verifiers"]
    key = installation.do(admin_keys.create, COMMAND_LINE, label="x", permissions=areas)[1]
    answer = installation.client(key).post("/v1/portal-sessions", json=portal.body())
    assert reasons(answer) == (403, "permission_missing")


# --- redeeming ------------------------------------------------------------------------------------


def test_a_code_is_redeemed_once(any_installation: Installation) -> None:
    portal = Portal(any_installation)
    code = portal.opened()["code"]
    assert portal.redeem(code).status_code == 201
    assert reasons(portal.redeem(code)) == (410, "code_broken")


def test_a_code_is_redeemed_within_a_minute(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, late = portal.opened()["code"], portal.opened()["code"]
    later(portal.installation, monkeypatch, 58_000)
    assert portal.redeem(early).status_code == 201
    later(portal.installation, monkeypatch, 2_000)
    assert reasons(portal.redeem(late)) == (410, "code_broken")


@pytest.mark.parametrize(
    "origin",
    [None, "", "null", "https://evil.example", "http://shop.example", "https://shop.example:8443"],
)
def test_another_page_does_not_use_it_up(portal: Portal, origin: str | None) -> None:
    code = portal.opened()["code"]
    assert reasons(portal.redeem(code, origin)) == (403, "origin_not_allowed")
    client = portal.installation.client()
    referer = client.post(
        "/v1/portal-sessions/redeem", json={"code": code}, headers={"Referer": f"{PAGE}/x"}
    )
    assert reasons(referer) == (403, "origin_not_allowed")
    assert portal.redeem(code, PAGE).status_code == 201


@pytest.mark.parametrize("origin", [PAGE, "https://SHOP.example:443", HERE])
def test_its_own_pages_and_gatepass_redeem_it(portal: Portal, origin: str) -> None:
    answer = portal.redeem(portal.opened()["code"], origin)
    assert answer.status_code == 201
    page = portal.page(answer.json()["token"], origin)
    assert page.get("/v1/me").status_code == 200


def test_another_text_is_no_code(portal: Portal) -> None:
    code, token = portal.opened()["code"], portal.token()
    same_id = make("gppc", code[5:21]).text
    for given in ("", "x", code[:-1], same_id, make("gppc").text, token, portal.key):
        assert reasons(portal.redeem(given)) == (410, "code_broken"), given
    for given in (None, 5, ["x"]):
        answer = portal.installation.client().post(
            "/v1/portal-sessions/redeem", json={"code": given}, headers={"Origin": PAGE}
        )
        assert answer.status_code == 422
    assert portal.redeem(code).status_code == 201


def test_from_outside_the_allowlist_a_code_is_kept(portal: Portal) -> None:
    code = portal.opened()["code"]
    portal.installation.allow_only("203.0.113.0/24")
    refused = portal.redeem(code)
    assert reasons(refused) == (403, "company_address_not_allowed")
    assert refused.headers["access-control-allow-origin"] == PAGE
    redeemed = portal.redeem(code, peer="203.0.113.9")
    assert redeemed.status_code == 201
    token = redeemed.json()["token"]
    assert reasons(portal.page(token).get("/v1/me")) == (403, "company_address_not_allowed")


def test_broken_codes_are_throttled_by_address(any_installation: Installation) -> None:
    portal = Portal(any_installation)
    code = portal.opened()["code"]
    statuses = [portal.redeem("x", peer="192.0.2.1").status_code for _ in range(102)]
    assert statuses == [410] * 100 + [429] * 2
    refused = portal.redeem(code, peer="192.0.2.1")
    assert reasons(refused) == (429, "too_many_attempts")
    assert int(refused.headers["retry-after"]) > 0
    # The session's page can read that, and no other page.
    assert refused.headers["access-control-allow-origin"] == PAGE
    elsewhere = portal.redeem(code, "https://other.example", peer="192.0.2.1")
    assert elsewhere.status_code == 429
    assert "access-control-allow-origin" not in elsewhere.headers
    # Nobody's sign-in, and no other address.
    any_installation.sign_in(peer="192.0.2.1")
    assert portal.redeem(code, peer="192.0.2.2").status_code == 201


# --- its end --------------------------------------------------------------------------------------


def _end_admin_key(portal: Portal) -> None:
    portal.installation.do(admin_keys.deactivate, COMMAND_LINE, portal.key[:21])


def _end_owner(portal: Portal) -> None:
    portal.installation.do(
        owner_offboarding.deactivate_of,
        COMMAND_LINE,
        portal.installation.company.id,
        portal.owner.id,
    )


def _end_company(portal: Portal) -> None:
    portal.installation.do(
        company_offboarding.deactivate, COMMAND_LINE, portal.installation.company.id
    )


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (_end_admin_key, "token_deactivated"),
        (_end_owner, "account_deactivated"),
        (_end_company, "account_deactivated"),
    ],
)
def test_it_ends_with_its_admin_key_owner_and_company(
    any_installation: Installation, end: Callable[[Portal], None], reason: str
) -> None:
    portal = Portal(any_installation)
    code, token = portal.opened()["code"], portal.token()
    end(portal)
    assert reasons(portal.redeem(code)) == (410, "code_broken")
    refused = portal.page(token).get("/v1/me")
    assert reasons(refused) == (401, reason)
    # The page can read why.
    assert refused.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("how", ["dismissed", "deactivated", "with the company"])
def test_it_ends_with_the_operator_that_opened_it(portal: Portal, how: str) -> None:
    installation = portal.installation
    other = installation.new_company("Platform")
    operator = installation.new_user("op@example.com", company=other, operator=True)
    installation.new_user("boss@example.com", company=other)
    portal.backend = installation.signed_in("op@example.com")
    code, token = portal.opened()["code"], portal.token()
    if how == "dismissed":
        installation.do(name_operator, COMMAND_LINE, operator.id, operator=False)
    elif how == "deactivated":
        installation.do(offboarding.deactivate, COMMAND_LINE, operator.id)
    else:
        installation.do(company_offboarding.deactivate, COMMAND_LINE, other.id)
    assert reasons(portal.redeem(code)) == (410, "code_broken")
    assert reasons(portal.page(token).get("/v1/me")) == (401, "token_deactivated")


def test_it_ends_at_its_time_counted_from_redeeming(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = portal.opened(expires_in=5)["code"]
    later(portal.installation, monkeypatch, 30_000)
    page = portal.page(portal.redeem(code).json()["token"])
    later(portal.installation, monkeypatch, 4_000)
    assert page.get("/v1/me").status_code == 200
    later(portal.installation, monkeypatch, 1_000)
    assert reasons(page.get("/v1/me")) == (401, "token_expired")


def test_it_ends_with_an_admin_key_that_expires(portal: Portal) -> None:
    installation = portal.installation
    ends = installation.node.clock.now() + 60_000
    key = installation.do(admin_keys.create, COMMAND_LINE, label="x", expires_at=ends)[1]
    portal.backend = installation.client(key)
    portal.token()
    with installation.node.database.read(0) as reading:
        assert reading.session.scalars(select(portal_sessions.c.expires_at)).all() == [ends]


# --- no other credential, and no decision ---------------------------------------------------------


def test_no_decision_accepts_it(portal: Portal) -> None:
    installation, token = portal.installation, portal.token()
    for text_ in (token, portal.opened()["code"]):
        decision = installation.verify(text_, permission="charges:get", origin=PAGE)
        assert (decision["allowed"], decision["reason"]) == (False, "token_invalid")
        assert "grant" not in decision
    asked = installation.client(token).post(
        "/v1/verify", json={"token": "x", "permission": "charges:get"}
    )
    assert reasons(asked) == (401, "token_invalid")
    gateway = {"X-Original-URI": "/v1/charges/1", "X-Original-Method": "GET", "Origin": PAGE}
    answer = portal.page(token).get("/authz/nginx", headers=gateway)
    assert answer.headers["x-gatepass-reason"] == "token_invalid"
    cookie = {"Cookie": f"gatepass={token}", "Origin": PAGE}
    assert reasons(installation.client().get("/v1/me", headers=cookie)) == (401, "token_missing")
    code = portal.page(portal.opened()["code"]).get("/v1/me")
    assert reasons(code) == (401, "token_invalid")


def test_a_node_whose_copy_lacks_it_asks_the_registry(portal: Portal) -> None:
    """So a session that was redeemed on one node works at once on another."""
    node, token = portal.installation.node, portal.token()
    sender: Any = {"address": None, "origin": PAGE}
    assert node._admit_by_registry(token, sender).allowed
    assert not node._admit_by_registry(make("gpps", token[5:21]).text, sender).allowed
    _end_admin_key(portal)
    assert node._admit_by_registry(token, sender).reason is Reason.token_deactivated


def test_only_digests_are_stored(portal: Portal) -> None:
    opened = portal.opened()
    code = opened["code"]
    token = portal.redeem(code).json()["token"]
    path = portal.installation.node.file.path
    stored = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    assert opened["id"].encode() in stored
    assert all(text_[21:53].encode() not in stored for text_ in (code, token))
    parsed = parse(token)
    assert parsed is not None
    assert parsed.digest in stored


def test_its_use_is_not_counted_by_its_id(portal: Portal) -> None:
    """Nobody reads such counts, and each session would leave one."""
    portal.page().get("/v1/me")
    node = portal.installation.node
    node.usage.flush()
    node.fold()
    with node.database.read(0) as reading:
        assert reading.session.scalars(select(token_use.c.token_id)).all() == []
        counted = reading.session.execute(text("SELECT reason FROM decision_counts")).all()
    assert ("allowed",) in [tuple(row) for row in counted]


# --- audit log ------------------------------------------------------------------------------------


def test_the_audit_log_names_the_admin_key(portal: Portal) -> None:
    opened = portal.opened()
    code = opened["code"]
    page = portal.page(portal.redeem(code).json()["token"])
    page.post("/v1/access-tokens", json=TOKEN)
    _end_admin_key(portal)
    ada = portal.installation.signed_in()
    events = ada.get("/v1/audit-events", params={"limit": 6}).json()["items"]
    said = {event["action"]: event["sentence"] for event in events}
    assert said["portal_session.created"] == (
        "The admin key Shop opened a portal session for Customer 7"
    )
    assert said["portal_session.redeemed"] == (
        "The portal session for Customer 7 was redeemed by its page"
    )
    assert said["access_token.created"] == (
        "Customer 7 (portal of Shop) created the access token mine"
    )
    assert said["portal_session.deactivated"] == (
        "The command line deactivated a portal session for Customer 7"
    )
    made = next(event for event in events if event["action"] == "access_token.created")
    assert made["actor"]["kind"] == "portal_session"
    assert made["actor"]["credential"] == opened["id"]
    text_ = ada.get("/v1/audit-events").text
    assert code[21:53] not in text_
    found = ada.get("/audit-log", params={"token": opened["id"]}).text
    assert "opened a portal session" in found
    assert "created the access token" in found
    kept = ada.get("/v1/audit-events", params={"kind": "portal-sessions"}).json()["items"]
    assert len(kept) == 3
