"""A decoy, through every door: answered like an unknown token, and reported."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gatepass.core.credentials import make, new_id
from gatepass.core.decision import Decision, Reason
from gatepass.core.grants import Grant, encode
from gatepass.registry.actor import Actor
from gatepass.registry.directory import verifier_keys
from gatepass.web.feed.limits import Limits
from tests.support.apps.installation import Installation
from tests.support.apps.portal import Portal
from tests.support.apps.problems import fields, reasons
from tests.web.api.tokens.test_observed_calls import fold

Door = Callable[[Installation, str], httpx.Response]


def decoy(ada: httpx.Client) -> str:
    """Create a decoy; its text."""
    made = ada.post("/v1/access-tokens", json={"label": "In the wiki", "kind": "decoy"})
    assert made.status_code == 201, made.text
    assert (made.json()["kind"], made.json()["permissions"]) == ("decoy", [])
    assert made.headers["Location"] == f"/v1/access-tokens/{made.json()['id']}"
    text: str = made.json()["token"]
    return text


def service(installation: Installation, path: str, body: Any) -> httpx.Response:
    return installation.client(installation.verifier_key()).post(path, json=body)


def limited(installation: Installation, text: str) -> httpx.Response:
    """Asked by a service that knows another company's tokens alone."""
    other = installation.new_company(new_id("company"))
    key = installation.do(
        verifier_keys.create, Actor.command_line(), label="theirs", companies=[other.id]
    )[1]
    return installation.client(key).post(
        "/v1/verify", json={"token": text, "permission": "charges:get"}
    )


DOORS: dict[str, Door] = {
    "verify": lambda there, text: service(
        there, "/v1/verify", {"token": text, "permission": "charges:get", "address": "203.0.113.9"}
    ),
    "batch": lambda there, text: service(
        there, "/v1/verify/batch", {"calls": [{"token": text, "permission": "charges:get"}] * 2}
    ),
    "limited key": limited,
    "gateway": lambda there, text: there.client(text).get(
        "/authz/nginx", headers={"X-Original-URI": "/v1/charges", "X-Original-Method": "POST"}
    ),
    "own API": lambda there, text: there.client(text).get("/v1/me"),
    "other header": lambda there, text: there.client().get(
        "/v1/me", headers={"x-access-token": text}
    ),
    "change": lambda there, text: there.client(text).post(
        f"/v1/access-tokens/{text[:21]}/rotate", json={"close": "now"}
    ),
    "platform": lambda there, text: there.client(text).get("/v1/companies"),
    "as verifier key": lambda there, text: there.client(text).post("/v1/verify", json={}),
    "feed": lambda there, text: there.client(text).get("/v1/feed"),
    "revoke": lambda there, text: there.client().post("/v1/revoke", data={"token": text}),
    "revoke many": lambda there, text: there.client().post(
        "/v1/credentials/revoke", json={"credentials": [text]}
    ),
}


def answered(response: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    left_out = ("date", "x-request-id")
    headers = {name: each for name, each in response.headers.items() if name not in left_out}
    return response.status_code, response.content, headers


def test_a_use_is_answered_like_an_unknown_token_and_reported(installation: Installation) -> None:
    ada, unknown = installation.signed_in(), make("gpat").text
    texts = {door: decoy(ada) for door in DOORS}
    for door, there in DOORS.items():
        # Repeated, it isn't answered from memory either.
        for _ in range(2):
            found, expected = (there(installation, text) for text in (texts[door], unknown))
            assert answered(found) == answered(expected), door
    fold(installation)
    for door, text in texts.items():
        events = ada.get(f"/v1/audit-events?subject={text[:21]}").json()["items"]
        actions = [each["action"] for each in events]
        assert actions == ["access_token.decoy_used", "access_token.created"], door
        calls = ada.get(f"/v1/access-tokens/{text[:21]}/calls").json()["items"]
        assert {call["reason"] for call in calls} == {"token_invalid"}
        used = events[0]["after"]
        if door == "verify":
            assert (used["permission"], events[0]["address"]) == ("charges:get", "203.0.113.9")
        if door == "gateway":
            assert (used["method"], used["route"]) == ("POST", "/v1/charges")
        # It isn't ended, and doesn't count as used.
        record = ada.get(f"/v1/access-tokens/{text[:21]}").json()
        assert (record["status"], record["last_used"]) == ("active", None)


def test_a_copy_that_has_it_asks_the_registry_as_for_an_unknown_token(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time of an answer, and one without the database, is that of an unknown token."""
    texts = decoy(installation.signed_in()), make("gpat").text
    node, asked = installation.node, list[str]()
    monkeypatch.setattr(node.verifier, "copy", True)
    monkeypatch.setattr(node.file.shared, "require_fresh", lambda *_: None)
    by_registry = node._admit_by_registry

    def counting(text: str, sender: Any) -> Decision:
        asked.append(text)
        return by_registry(text, sender)

    monkeypatch.setattr(node, "_admit_by_registry", counting)
    for text in texts:
        found = node.admit(text, address=None, origin=None, address_garbage=False)
        assert found.reason is Reason.token_invalid
    assert tuple(asked) == texts


def test_followers_with_limits_know_it_and_report_it(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    text = decoy(ada)
    grant = Grant(
        text[:21],
        b"",
        "decoy",
        any_installation.company.id,
        *("usr", "In the wiki"),
        *(frozenset[str](), None, (), None, False),
    )
    row = ("grants", grant.id, encode(grant), 1)
    permissions, company = frozenset(("charges:get",)), any_installation.company.id
    assert list(Limits(frozenset((company,)), permissions).only([row], 0)) == [row]
    assert list(Limits(frozenset(("com_other",)), permissions).only([row], 0)) == []
    call = ["token_invalid", ["charges:get"], None, None, "203.0.113.9", None]
    now = any_installation.node.clock.now()
    report = {
        "spool": "0123456789abcdef",
        "start": 0,
        "end": 1,
        "batches": [],
        "calls": [[text[:21], False, call, 3, now, now]],
    }
    assert service(any_installation, "/v1/feed/use", report).status_code == 200
    events = ada.get(f"/v1/audit-events?subject={text[:21]}").json()
    assert [each["action"] for each in events["items"]] == [
        "access_token.decoy_used",
        "access_token.created",
    ]


def test_what_can_be_done_with_one(installation: Installation) -> None:
    ada = installation.signed_in()
    id = decoy(ada)[:21]
    path = f"/v1/access-tokens/{id}"
    assert ada.patch(path, json={"label": "Elsewhere"}).json()["label"] == "Elsewhere"
    assert fields(ada.patch(path, json={"permissions": ["charges:get"]})) == ["permissions"]
    for action, body in (
        ("rotate", {"close": "now"}),
        ("rehearse", {"minutes": 1, "share": 1}),
    ):
        refused = ada.post(f"{path}/{action}", json=body)
        assert reasons(refused) == (409, "decoy")
        assert refused.json()["current"]["id"] == id
    made = {"label": "x", "kind": "decoy", "permissions": ["charges:get"]}
    assert fields(ada.post("/v1/access-tokens", json=made)) == ["permissions"]
    assert fields(ada.post("/v1/access-tokens", json={"label": "x", "kind": "api"})) == [
        "permissions"
    ]
    customer = Portal(installation).page()
    refused = customer.post("/v1/access-tokens", json={"label": "x", "kind": "decoy"})
    assert reasons(refused) == (403, "portal_session")
    owned = made | {"owner": {"id": installation.ada.id}, "permissions": []}
    answer = installation.admin().post(
        f"/v1/companies/{installation.company.id}/access-tokens", json=owned
    )
    assert fields(answer) == ["kind"]
    assert [each["id"] for each in ada.get("/v1/access-tokens?kind=decoy").json()["items"]] == [id]
    assert f"{id},Elsewhere,decoy" in ada.get("/v1/access-tokens/export?format=csv").text
    assert ada.post(f"{path}/deactivate", json={}).json()["status"] == "deactivated"
