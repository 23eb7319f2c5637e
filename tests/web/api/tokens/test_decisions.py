"""``/v1/decisions``: explanations of calls that are tried, and of calls that were refused."""

from typing import Any

import httpx
import pytest

from gatepass.registry.grants.compaction import CALLS_KEPT_DAYS
from gatepass.web.times import format_time
from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal
from tests.support.apps.problems import fields, reasons
from tests.support.apps.refusals import refused

CHARGE = {"method": "POST", "path": "/v1/charges"}


@pytest.fixture
def token(installation: Installation) -> str:
    return installation.access_token("charges:get", networks=["203.0.113.0/24"])


def explain(client: httpx.Client, token: str, **call: Any) -> Any:
    answer = client.post("/v1/decisions/explain", json={"access_token": token[:21], **call})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(client: httpx.Client, token: str, **call: Any) -> tuple[int, str]:
    body = {"access_token": token[:21], "permission": "charges:get", **call}
    return reasons(client.post("/v1/decisions/explain", json=body))


def test_the_checks_down_to_the_first_cross(installation: Installation, token: str) -> None:
    text, ada = token, installation.signed_in()
    told = explain(ada, text, **CHARGE, address="192.0.2.9")
    assert (told["allowed"], told["reason"], told["status"]) == (False, "address_not_allowed", 403)
    assert told["needed"] == ["charges:create"]
    assert [check["number"] for check in told["checks"]] == list(range(1, 11))
    assert [check["outcome"] for check in told["checks"]] == [
        *["not_applicable"] * 2,
        *["passed"] * 4,
        "failed",
        *["not_reached"] * 3,
    ]
    assert told["checks"][6]["detail"] == "192.0.2.9 is not in 203.0.113.0/24."
    (fix,) = told["fixes"]
    assert (fix["fix"], fix["permission"]) == ("add_network", "access-tokens:modify")
    assert fix["change"] == {
        "networks": ["203.0.113.0/24", "192.0.2.9/32"],
        "permissions": ["charges:get", "charges:create"],
    }
    # A fix is what explain takes, and PATCH.
    assert explain(ada, text, **CHARGE, address="192.0.2.9", change=fix["change"])["allowed"]
    changed = ada.patch(f"/v1/access-tokens/{text[:21]}", json=fix["change"])
    assert changed.status_code == 200
    told = explain(ada, text, **CHARGE, address="192.0.2.9")
    assert (told["allowed"], told["reason"], told["fixes"]) == (True, "allowed", [])


def test_it_answers_as_verify_does(installation: Installation, token: str) -> None:
    ada = installation.signed_in()
    for call in (
        {"permission": "charges:get", "address": "203.0.113.9"},
        {"permission": "charges:get", "address": "nowhere"},
        {"permission": "charges:get"},
        {**CHARGE, "address": "203.0.113.9", "permission": "charges:get"},
        {"method": "HEAD", "path": "/v1/charges/ch_1?a=b", "address": "::ffff:203.0.113.9"},
        {"method": "GET", "path": "/v1//charges", "address": "203.0.113.9"},
        {"method": "GET", "path": "/nowhere", "address": "203.0.113.9"},
    ):
        told, decided = explain(ada, token, **call), installation.verify(token, **call)
        assert (told["allowed"], told["reason"], told["status"]) == (
            decided["allowed"],
            decided["reason"],
            decided["status"],
        )


def test_the_clock_and_what_would_be(installation: Installation, token: str) -> None:
    ada, call = installation.signed_in(), {"permission": "charges:get", "address": "203.0.113.9"}
    now = installation.node.clock.now()
    soon, later = format_time(now + 60_000), format_time(now + 120_000)
    change = {"expires_at": soon}
    assert explain(ada, token, **call, change=change)["allowed"]
    told = explain(ada, token, **call, change=change, at=later)
    assert told["reason"] == "token_expired"
    # The whole change: what was asked about, and what is more.
    (fix,) = told["fixes"]
    assert (fix["fix"], list(fix["change"])) == ("extend_expiry", ["expires_at"])
    told = explain(ada, token, **call, change={"expires_at": None, "networks": ["10.0.0.0/8"]})
    (fix,) = told["fixes"]
    assert fix["change"] == {
        "networks": ["10.0.0.0/8", "203.0.113.9/32"],
        "expires_at": None,
    }
    listed = [{"network": "10.0.0.0/8", "note": "Office"}]
    told = explain(ada, token, **call, change={"allowlist": listed})
    assert told["reason"] == "company_address_not_allowed"
    (fix,) = told["fixes"]
    assert (fix["fix"], fix["permission"]) == ("add_allowlist_entry", "company:modify")
    assert fix["change"] == {"allowlist": [*listed, {"network": "203.0.113.9/32", "note": ""}]}
    assert explain(ada, token, **call, change={"allowlist": []})["allowed"]


def test_another_role(installation: Installation) -> None:
    text = installation.access_token("charges:create")
    ada, call = installation.signed_in(), {"permission": "charges:create"}
    told = explain(ada, text, **call, change={"role": "reporting"})
    assert told["reason"] == "permission_missing"
    assert told["checks"][9]["detail"] == (
        "The token has charges:create, but its owner's role lacks it."
    )
    assert [fix["change"] for fix in told["fixes"]] == [
        {"role": role} for role in ("customer-service", "manager", "admin")
    ]
    assert {fix["fix"] for fix in told["fixes"]} == {"change_role"}
    assert {fix["permission"] for fix in told["fixes"]} == {"users:manage"}
    wrong = {"access_token": text[:21], **call, "change": {"role": "nobody"}}
    answer = ada.post("/v1/decisions/explain", json=wrong)
    assert (reasons(answer), fields(answer)) == ((422, "invalid"), ["change.role"])


def test_the_fields_of_a_change_are_those_of_patch(installation: Installation, token: str) -> None:
    ada = installation.signed_in()
    change = {
        "networks": ["10.0.0.0/8", "nowhere"],
        "domains": ["shop.example.com"],
        "permissions": ["charges:get", "unknown:get"],
        "expires_at": "2001-01-01T00:00:00Z",
        "role": "nobody",
        "allowlist": [{"network": "10.0.0.0/8"}, {"network": "10.0.0.0/99"}],
    }
    body = {"access_token": token[:21], "permission": "charges:get", "change": change}
    answer = ada.post("/v1/decisions/explain", json=body)
    assert reasons(answer) == (422, "invalid")
    assert fields(answer) == [
        "change.networks.1",
        "change.domains",
        "change.permissions.1",
        "change.expires_at",
        "change.role",
        "change.allowlist.1.network",
    ]
    forbidden = {**body, "change": {"permissions": ["users:manage"]}}
    assert reasons(ada.post("/v1/decisions/explain", json=forbidden)) == (422, "not_for_tokens")


def test_a_call_is_a_permission_or_a_method_and_a_path(
    installation: Installation, token: str
) -> None:
    ada = installation.signed_in()
    wrong: list[tuple[dict[str, str], str]] = [
        ({}, "permission"),
        ({"method": "GET"}, "path"),
        ({"path": "/v1/charges"}, "method"),
        ({"permission": "charges:*"}, "permission"),
        ({"permission": "charges:get", "token": "gpat_"}, "token"),
    ]
    for call, field in wrong:
        body = {"access_token": token[:21], **call}
        assert fields(ada.post("/v1/decisions/explain", json=body)) == [field]


def test_what_the_caller_may_not_see_is_not_named(installation: Installation) -> None:
    installation.allow_only("127.0.0.0/8", "203.0.113.0/24")
    desk = installation.joined("desk@example.com", "Desk", role="customer-service")
    bob = installation.new_user("bob@example.com", role="manager").id
    text = installation.access_token("charges:create", maker="bob@example.com")
    ada = installation.signed_in()
    ada.patch(f"/v1/users/{bob}", json={"role": "reporting"})
    told = explain(desk, text, permission="charges:create", address="192.0.2.9")
    assert told["reason"] == "company_address_not_allowed"
    assert told["checks"][5]["detail"] == "192.0.2.9 is not in the company's allowlist."
    assert told["fixes"] == []
    for change in ({"allowlist": []}, {"role": "admin"}):
        assert refusal(desk, text, change=change) == (403, "permission_missing")
    # Another role would allow it.
    call = {"permission": "charges:create", "address": "127.0.0.1"}
    told = explain(desk, text, **call)
    assert (told["reason"], told["fixes"]) == ("permission_missing", [])
    assert explain(ada, text, **call)["fixes"][0]["fix"] == "change_role"


def test_an_access_token_explains_its_own_calls(installation: Installation, token: str) -> None:
    own = installation.client(token, peer="203.0.113.9")
    told = explain(own, token, permission="charges:create", address="203.0.113.9")
    assert told["reason"] == "permission_missing"
    assert told["fixes"][0]["fix"] == "add_permission"
    reader = installation.access_token("access-tokens:get")
    assert refusal(own, token, change={}) == (403, "signed_in_user_required")
    assert refusal(own, reader) == (403, "signed_in_user_required")
    assert refusal(installation.client(reader), token) == (403, "signed_in_user_required")


def test_who_else_may_ask(installation: Installation, token: str) -> None:
    installation.new_user("bob@example.com", role="reporting")
    assert explain(installation.signed_in("bob@example.com"), token, permission="charges:get")
    ada = installation.signed_in()
    body = {"name": "Till", "permissions": ["charges:get"]}
    role = ada.post("/v1/roles", json=body).json()["id"]
    till = installation.joined("till@example.com", role=role)
    assert refusal(till, token) == (403, "permission_missing")
    assert refusal(installation.of_another_company(), token) == (404, "not_found")
    assert refusal(installation.client(), token) == (401, "token_missing")
    decoy = ada.post("/v1/access-tokens", json={"label": "Wiki", "kind": "decoy"}).json()["id"]
    for unknown in (decoy, "gpat_0000000000000000", "\u0000"):
        assert refusal(ada, unknown)[0] == 404


def test_a_portal_session_asks_about_its_owners_tokens(
    installation: Installation, token: str
) -> None:
    portal = Portal(installation)
    page = portal.page()
    own = portal.access_token(portal.owner, "charges:get")["token"]
    told = explain(page, own, permission="charges:create")
    assert told["reason"] == "permission_missing"
    assert explain(page, own, permission="charges:get", change={"networks": []})["allowed"]
    for change in ({"allowlist": []}, {"role": "admin"}):
        assert refusal(page, own, change=change) == (403, "portal_session")
    assert refusal(page, token) == (404, "not_found")
    mine = refused(installation, own, permission="charges:create")
    others = refused(installation, token, permission="charges:create")
    assert page.get(f"/v1/decisions/{mine}").json()["access_token"] == own[:21]
    assert reasons(page.get(f"/v1/decisions/{others}")) == (404, "not_found")


def test_asking_stores_nothing(installation: Installation, token: str) -> None:
    ada = installation.signed_in()
    explain(ada, token, permission="charges:create")
    installation.node.usage.flush()
    installation.node.fold()
    assert ada.get(f"/v1/access-tokens/{token[:21]}/calls").json()["items"] == []


# --- refused calls --------------------------------------------------------------------------------


def test_a_refused_call(any_installation: Installation) -> None:
    text = any_installation.access_token("charges:get", networks=["203.0.113.0/24"])
    ada = any_installation.signed_in()
    call = {**CHARGE, "address": "192.0.2.9", "origin": "https://Shop.example.com"}
    decision = refused(any_installation, text, **call)
    told = ada.get(f"/v1/decisions/{decision}").json()
    (row,) = ada.get(f"/v1/access-tokens/{text[:21]}/calls").json()["items"]
    assert row["decision"] == decision
    explanation = told.pop("explanation")
    assert told == row | {"access_token": text[:21]}
    assert explanation == explain(ada, text, **call)
    # It says how the call would be decided now.
    ada.post(f"/v1/access-tokens/{text[:21]}/deactivate")
    told = ada.get(f"/v1/decisions/{decision}").json()
    assert (told["reason"], told["explanation"]["reason"]) == (
        "address_not_allowed",
        "token_deactivated",
    )
    assert told["explanation"]["fixes"] == []


def test_every_refusal_is_explained_by_its_reason(installation: Installation) -> None:
    ada = installation.signed_in()
    api = installation.access_token("charges:get", networks=["203.0.113.0/24"])
    ui = installation.access_token("charges:get", kind="ui", domains=["shop.example.com"])
    inside = {"address": "203.0.113.9"}
    for text, call, reason in (
        (api, {"permission": "charges:get"}, "address_not_allowed"),
        (api, {"permission": "refunds:get", **inside}, "permission_missing"),
        (api, {**CHARGE, "permission": "charges:get", **inside}, "permission_missing"),
        (api, {"method": "GET", "path": "/nowhere", **inside}, "route_unknown"),
        (api, {"method": "GET", "path": "/a//b", **inside}, "path_ambiguous"),
        (ui, {"permission": "charges:get"}, "origin_missing"),
        (ui, {"permission": "charges:get", "origin": "null"}, "origin_not_allowed"),
        (ui, {"permission": "charges:get", "origin": "https://a.example"}, "origin_not_allowed"),
    ):
        told = ada.get(f"/v1/decisions/{refused(installation, text, **call)}").json()
        assert (told["reason"], told["explanation"]["reason"]) == (reason, reason)
        asked = explain(ada, text, **call)
        assert told["explanation"]["needed"] == asked["needed"]
        assert told["explanation"]["fixes"] == asked["fixes"]
        assert told["explanation"]["checks"] == asked["checks"]


def test_an_address_that_could_not_be_read_is_told_apart_from_none(
    installation: Installation, token: str
) -> None:
    """No header is to blame where a service named no address."""
    ada = installation.signed_in()
    for address in (None, "somewhere"):
        asked = {"permission": "charges:get"} | ({"address": address} if address else {})
        told = ada.get(f"/v1/decisions/{refused(installation, token, **asked)}").json()
        detail = told["explanation"]["checks"][6]["detail"]
        assert detail.startswith("The call has no address that can be read")
    anywhere = installation.access_token("charges:get")
    behind_a_proxy = installation.client(anywhere)
    behind_a_proxy.headers["X-Forwarded-For"] = "somewhere"
    assert reasons(behind_a_proxy.get("/v1/me")) == (403, "address_not_allowed")
    installation.node.usage.flush()
    installation.node.fold()
    (row,) = ada.get(f"/v1/access-tokens/{anywhere[:21]}/calls").json()["items"]
    told = ada.get(f"/v1/decisions/{row['decision']}").json()
    assert told["explanation"]["reason"] == "address_not_allowed"
    detail = told["explanation"]["checks"][6]["detail"]
    assert detail == "The address that was forwarded can't be read."


def test_a_refusal_of_gatepasss_own_api(installation: Installation, token: str) -> None:
    answer = installation.client(token, peer="192.0.2.9").get("/v1/me")
    assert reasons(answer) == (403, "address_not_allowed")
    installation.node.usage.flush()
    installation.node.fold()
    ada = installation.signed_in()
    (row,) = ada.get(f"/v1/access-tokens/{token[:21]}/calls").json()["items"]
    told = ada.get(f"/v1/decisions/{row['decision']}").json()["explanation"]
    assert (told["reason"], told["needed"]) == ("address_not_allowed", [])
    (fix,) = told["fixes"]
    assert fix["change"] == {"networks": ["203.0.113.0/24", "192.0.2.9/32"]}


def test_who_may_read_it_and_how_long(installation: Installation, token: str) -> None:
    ada = installation.signed_in()
    unknown = "/v1/decisions/dec_0000000000000000000000"
    assert reasons(ada.get(unknown)) == (404, "not_found")
    path = f"/v1/decisions/{refused(installation, token, permission='charges:create')}"
    assert ada.get(path).status_code == 200
    carl = installation.of_another_company()
    assert carl.get(path).json()["detail"] == carl.get(unknown).json()["detail"]
    reader = installation.access_token("access-tokens:get")
    assert installation.client(reader).get(path).status_code == 200
    own = installation.client(token, peer="203.0.113.9")
    assert reasons(own.get(path)) == (403, "permission_missing")
    clock = installation.node.clock
    clock.offset_ns += (CALLS_KEPT_DAYS + 1) * 86_400_000_000_000
    later = installation.signed_in()
    assert reasons(later.get(path)) == (404, "not_found")
