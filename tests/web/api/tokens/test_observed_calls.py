"""``/v1/access-tokens/{id}/calls``: what a token was used for, and what it was refused."""

from typing import Any

from gatepass.core.credentials import parse
from gatepass.core.observed_call import ObservedCall, decision_id
from gatepass.web.times import format_time, parse_time
from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal
from tests.support.apps.problems import fields, reasons


def verify(installation: Installation, token: str, **question: Any) -> str:
    """Ask for a decision; its reason."""
    client = installation.client(installation.verifier_key())
    reason: str = client.post("/v1/verify", json={"token": token, **question}).json()["reason"]
    return reason


def fold(installation: Installation) -> None:
    installation.node.usage.flush()
    installation.node.fold()


def test_calls_are_listed_as_they_were_decided(any_installation: Installation) -> None:
    token = any_installation.access_token("charges:get")
    path = f"/v1/access-tokens/{token[:21]}/calls"
    ada = any_installation.signed_in()
    assert ada.get(path).json() == {"items": [], "next": None}
    before = any_installation.node.clock.now()
    for call, reason in (
        ({"method": "HEAD", "path": "/v1/charges/ch_1?a=b", "address": "203.0.113.9"}, "allowed"),
        ({"method": "GET", "path": "/v1/charges/ch_2", "address": "203.0.113.9"}, "allowed"),
        ({"permission": "refunds:create", "origin": "https://A.com:443"}, "permission_missing"),
        ({"method": "GET", "path": "/nowhere", "address": "2001:DB8::1"}, "route_unknown"),
    ):
        assert verify(any_installation, token, **call) == reason
    wrong_secret = token[:30] + ("a" if token[30] != "a" else "b") + token[31:]
    assert verify(any_installation, wrong_secret, permission="charges:get") == "token_invalid"
    fold(any_installation)
    items = {item["reason"]: item for item in ada.get(path).json()["items"]}
    assert len(items) == 3
    for item in items.values():
        first, last = parse_time(item.pop("first_at")), parse_time(item.pop("last_at"))
        assert before <= first <= last <= any_installation.node.clock.now()
    credential = parse(token)
    assert credential is not None
    unknown = ObservedCall("route_unknown", (), None, None, "2001:db8::1", None)
    nothing = dict.fromkeys(("decision", "permission", "route", "method", "address", "origin"))
    assert items["allowed"] == nothing | {
        "outcome": "allowed",
        "reason": "allowed",
        "permission": "charges:get",
        "count": 2,
        "route": "/v1/charges/{id}",
        "method": "GET",
        "address": "203.0.113.9",
    }
    assert items["route_unknown"] == nothing | {
        "outcome": "refused",
        "reason": "route_unknown",
        "address": "2001:db8::1",
        "count": 1,
        "decision": decision_id(credential.digest, unknown, before),
    }
    missing = items["permission_missing"]
    assert (missing["permission"], missing["origin"]) == ("refunds:create", "https://a.com")


def test_a_list_shows_what_is_asked_for(installation: Installation) -> None:
    token = installation.access_token("charges:get")
    for number in range(3):
        address = f"203.0.113.{number}"
        verify(installation, token, permission="charges:get", address=address)
        verify(installation, token, permission="refunds:create", address=address)
    fold(installation)
    ada, path = installation.signed_in(), f"/v1/access-tokens/{token[:21]}/calls"

    def shown(**query: Any) -> list[tuple[str, str]]:
        items = ada.get(path, params=query).json()["items"]
        return [(item["outcome"], item["address"]) for item in items]

    everything = shown()
    assert len(set(everything)) == 6
    assert {outcome for outcome, _ in shown(outcome="refused")} == {"refused"}
    first = ada.get(path, params={"limit": 4}).json()
    assert shown(limit=4) + shown(cursor=first["next"]) == everything
    now = format_time(installation.node.clock.now() + 1)
    assert shown(until=now) == everything
    assert shown(since=now) == []
    for query, field in (
        ({"outcome": "denied"}, "outcome"),
        ({"since": "yesterday"}, "since"),
        ({"until": "2026-01-01T00:00:00"}, "until"),
        ({"cursor": "x"}, "cursor"),
        ({"limit": 201}, "limit"),
        ({"reason": "allowed"}, "reason"),
    ):
        assert fields(ada.get(path, params=query)) == [field]


def test_who_may_see_them(any_installation: Installation) -> None:
    """All who may see the token: a portal session its owner's, an access token by permission."""
    portal = Portal(any_installation)
    made = portal.access_token(portal.owner)
    verify(any_installation, made["token"], permission="refunds:create")
    fold(any_installation)
    path = f"/v1/access-tokens/{made['id']}/calls"
    (seen,) = portal.page().get(path).json()["items"]
    assert seen["reason"] == "permission_missing"
    assert any_installation.signed_in().get(path).json()["items"] == [seen]
    reader = any_installation.access_token("access-tokens:get")
    assert any_installation.client(reader).get(path).json()["items"] == [seen]
    other = any_installation.access_token("charges:get")
    assert reasons(any_installation.client(other).get(path)) == (403, "permission_missing")
    carl = any_installation.of_another_company()
    assert carl.get(path).status_code == 404
    assert any_installation.client().get(path).status_code == 401
