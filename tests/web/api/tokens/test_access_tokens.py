"""``/v1/access-tokens``: create, read, change, deactivate."""

import dataclasses
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from gatepass.core.grants import Holder
from gatepass.registry.grants.publishing import publish
from gatepass.registry.storage.tables import users
from gatepass.registry.tokens import records
from gatepass.registry.tokens.input import CHANGEABLE
from gatepass.web.api.records.access_tokens import AccessToken
from gatepass.web.api.tokens.access_tokens import AccessTokenChanges, NewAccessToken
from gatepass.web.times import format_time
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons
from tests.support.token_fields import FIRST, SECOND

SAMPLE = {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:get"]}


def create(client: httpx.Client, **fields: Any) -> Any:
    answer = client.post("/v1/access-tokens", json={**SAMPLE, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_every_field_is_writable_and_readable(installation: Installation) -> None:
    assert set(AccessTokenChanges.model_fields) == set(CHANGEABLE)
    assert set(NewAccessToken.model_fields) == {"kind", "owner", *CHANGEABLE}
    of_record = {field.name for field in dataclasses.fields(records.AccessToken)}
    assert of_record - {"company"} <= set(AccessToken.model_fields)
    first, second = (
        {**each, "expires_at": format_time(int(str(each["expires_at"])))}
        for each in (FIRST, SECOND)
    )
    ada = installation.signed_in()
    made = create(ada, **first, kind="ui")
    assert {name: made[name] for name in first} == first
    path = f"/v1/access-tokens/{made['id']}"
    assert ada.patch(path, json=second).status_code == 200
    got = ada.get(path).json()
    assert {name: got[name] for name in second} == second


def test_a_token_from_creation_to_deactivation(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    made = ada.post(
        "/v1/access-tokens",
        json={
            **SAMPLE,
            "kind": "ui",
            "permissions": ["charges:get", "refunds:*"],
            "expires_at": "2126-12-24T01:00:00.0019999+01:00",
            "networks": ["203.0.113.7/24", "2001:DB8::1"],
            "domains": ["Shop.Example.com"],
        },
    )
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    token = made.json()
    text = token.pop("token")
    assert len(text) == 59
    assert made.headers["location"] == f"/v1/access-tokens/{token['id']}"
    created_at = token.pop("created_at")
    assert len(created_at) == len("2026-12-24T00:00:00.000Z")
    assert token == {
        "id": text[:21],
        "label": "Nightly settlement",
        "kind": "ui",
        "status": "active",
        "permissions": ["charges:get", "refunds:*"],
        "effective_permissions": ["charges:get", "refunds:*"],
        "networks": ["203.0.113.0/24", "2001:db8::1/128"],
        "domains": ["shop.example.com"],
        "expires_at": "2126-12-24T00:00:00.001Z",
        "metadata": {},
        "external_id": None,
        "unused_days": None,
        "owner": {
            "type": "user",
            "id": any_installation.ada.id,
            "external_id": None,
            "name": "Ada Lovelace",
        },
        "created_by": any_installation.ada.id,
        "created_by_name": "Ada Lovelace",
        "deactivated_at": None,
        "deactivated_by": None,
        "deactivated_by_name": None,
        "last_used": None,
        "rotation": None,
        "rehearsal": None,
        "imported": False,
        "approval": None,
        "exceptions": [],
    }
    path = f"/v1/access-tokens/{token['id']}"
    got = ada.get(path)
    assert got.json() == {**token, "created_at": created_at}
    assert got.headers["etag"] == made.headers["etag"]
    assert got.headers["etag"][0] == got.headers["etag"][-1] == '"'

    changed = ada.patch(
        path,
        json={"label": "Shop", "expires_at": None, "networks": []},
        headers={"If-Match": got.headers["etag"]},
    )
    assert changed.status_code == 200
    assert changed.headers["etag"] != got.headers["etag"]
    assert changed.json() == {
        **got.json(),
        "label": "Shop",
        "expires_at": None,
        "networks": [],
    }
    question = {"permission": "charges:get", "origin": "https://shop.example.com"}
    assert any_installation.verify(text, **question)["reason"] == "allowed"

    ended = ada.post(path + "/deactivate")
    assert ended.status_code == 200
    assert ended.json()["status"] == "deactivated"
    assert ended.json()["deactivated_by"] == any_installation.ada.id
    assert any_installation.verify(text, **question)["reason"] == "token_deactivated"
    again = ada.post(path + "/deactivate")
    assert again.status_code == 200
    assert without_use(again.json()) == without_use(ended.json())
    assert again.headers["etag"] == ended.headers["etag"]
    assert reasons(ada.patch(path, json={"label": "x"})) == (409, "token_deactivated")
    (listed,) = ada.get("/v1/access-tokens").json()["items"]
    assert without_use(listed) == without_use(ended.json())


def without_use(token: dict[str, Any]) -> dict[str, Any]:
    """A token's record without its last use, which is counted a moment later."""
    return {name: value for name, value in token.items() if name != "last_used"}


def test_the_token_text_is_shown_once(ada: httpx.Client) -> None:
    text = create(ada)["token"]
    secret = text[21:]
    for path in ("/v1/access-tokens", f"/v1/access-tokens/{text[:21]}", "/v1/audit-events"):
        answer = ada.get(path)
        assert text[:21] in answer.text
        assert secret not in answer.text


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"label": ""}, ["label"]),
        ({"label": "x" * 101}, ["label"]),
        ({"label": "a\u0000b"}, ["label"]),
        ({"label": "a\u0085b"}, ["label"]),
        ({"label": None}, ["label"]),
        ({"label": 5}, ["label"]),
        ({"kind": "login"}, ["kind"]),
        ({"kind": None}, ["kind"]),
        ({"permissions": []}, ["permissions"]),
        ({"permissions": None}, ["permissions"]),
        ({"permissions": "charges:get"}, ["permissions"]),
        ({"permissions": [1]}, ["permissions.0"]),
        ({"permissions": ["charges:get", "*"]}, ["permissions.1"]),
        ({"permissions": ["charges:nope"]}, ["permissions.0"]),
        ({"permissions": ["nope:*"]}, ["permissions.0"]),
        ({"permissions": ["Charges:get"]}, ["permissions.0"]),
        ({"permissions": ["charges:get"] * 201}, ["permissions"]),
        ({"expires_at": 1_800_000_000}, ["expires_at"]),
        ({"expires_at": "tomorrow"}, ["expires_at"]),
        ({"expires_at": "2126-12-24T00:00:00"}, ["expires_at"]),
        ({"expires_at": "2020-12-24T00:00:00Z"}, ["expires_at"]),
        ({"expires_at": "0000-01-01T00:00:00Z"}, ["expires_at"]),
        ({"networks": None}, ["networks"]),
        ({"networks": ["1.2.3"]}, ["networks.0"]),
        ({"networks": ["1.2.3.4", "1.2.3.4/33"]}, ["networks.1"]),
        ({"networks": [f"10.0.{n // 256}.{n % 256}" for n in range(501)]}, ["networks"]),
        ({"domains": ["shop.example.com"]}, ["domains"]),
        ({"kind": "ui", "domains": ["127.0.0.1"]}, ["domains.0"]),
        ({"kind": "ui", "domains": ["*.com"]}, ["domains.0"]),
        ({"kind": "ui", "domains": [f"a{n}.example.com" for n in range(101)]}, ["domains"]),
        ({"metadata": None}, ["metadata"]),
        ({"metadata": {"team": 7}}, ["metadata.team"]),
        ({"metadata": {"Team": "payments"}}, ["metadata"]),
        ({"metadata": {"team": "x" * 1_021}}, ["metadata"]),
        ({"external_id": ""}, ["external_id"]),
        ({"external_id": "x" * 201}, ["external_id"]),
        ({"unused_days": 0}, ["unused_days"]),
        ({"unused_days": 366}, ["unused_days"]),
        ({"unused_days": 1.5}, ["unused_days"]),
        ({"status": "active"}, ["status"]),
        ({"token": "gpat_x"}, ["token"]),
    ],
)
def test_an_invalid_field_is_named(ada: httpx.Client, change: Any, wrong: list[str]) -> None:
    answer = ada.post("/v1/access-tokens", json={**SAMPLE, **change})
    assert fields(answer) == wrong
    assert answer.json()["reason"] == "invalid"
    assert answer.headers["content-type"] == "application/problem+json"
    assert ada.get("/v1/access-tokens").json()["items"] == []


def test_a_missing_field_is_named(ada: httpx.Client) -> None:
    assert fields(ada.post("/v1/access-tokens", json={})) == ["label", "kind", "permissions"]
    assert fields(ada.post("/v1/access-tokens", json=[])) == ["body"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b'{"label": "a", "label": "b"}', 422),
        (b'{"label": NaN}', 422),
        (b'{"label": "\\ud800"}', 422),
        (b"[" * 100_000, 422),
        (b"9" * 10_000, 422),
    ],
)
def test_an_unreadable_body_is_a_problem_document(
    ada: httpx.Client, content: bytes, status: int
) -> None:
    answer = ada.post(
        "/v1/access-tokens", content=content, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_deeply_nested_json_is_refused(ada: httpx.Client) -> None:
    for depth in [*range(900, 1_020, 5), 5_000, 100_000]:
        for nested in (
            "[" * depth + '"\\ud800"' + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
        ):
            answer = ada.post("/v1/access-tokens", content=nested)
            assert answer.status_code == 422, (depth, answer.text)


def test_other_media_types_are_refused(ada: httpx.Client) -> None:
    content = b'{"label": "a", "kind": "api", "permissions": ["charges:get"]}'
    for media_type, status in (
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
        ({}, 201),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 201),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
    ):
        answer = ada.post("/v1/access-tokens", content=content, headers=media_type)
        assert answer.status_code == status


def test_actions_accept_an_empty_object_or_no_body(ada: httpx.Client) -> None:
    path = f"/v1/access-tokens/{create(ada)['id']}/deactivate"
    headers = {"Content-Type": "application/json"}
    assert fields(ada.post(path, json={"x": 1})) == ["x"]
    assert ada.post(path, content=b"{", headers=headers).status_code == 400
    assert ada.post(path, content=b"[]", headers=headers).status_code == 422
    assert ada.get(path.removesuffix("/deactivate")).json()["status"] == "active"
    assert ada.post(path, json={}).status_code == 200
    assert ada.post(path, headers=headers).status_code == 200


def test_users_grant_only_permissions_they_hold(installation: Installation) -> None:
    bob = installation.joined("bob@example.com", role="manager")
    for wanted in ("company:*", "roles:*", "users:*"):
        refused = bob.post("/v1/access-tokens", json={**SAMPLE, "permissions": [wanted]})
        assert reasons(refused) == (403, "permission_missing")
        assert f'scope="{wanted}"' in refused.headers["www-authenticate"]
    made = create(installation.signed_in(), permissions=["company:*"])
    refused = bob.patch(f"/v1/access-tokens/{made['id']}", json={"label": "x"})
    assert reasons(refused) == (403, "permission_missing")


def test_an_access_token_can_read_and_deactivate_but_not_create(
    installation: Installation, ada: httpx.Client
) -> None:
    other = create(ada)["id"]
    token = installation.client(
        installation.access_token("access-tokens:*", "audit:get", "users:*")
    )
    path = f"/v1/access-tokens/{other}"
    assert token.get("/v1/access-tokens").status_code == 200
    assert token.get(path).status_code == 200
    assert token.get("/v1/audit-events").status_code == 200
    for refused in (
        token.post("/v1/access-tokens", json=SAMPLE),
        token.patch(path, json={"label": "x"}),
        token.post("/v1/sign-out"),
        token.get("/v1/authentications"),
        token.get("/v1/permissions"),
    ):
        assert reasons(refused) == (403, "signed_in_user_required")
    assert token.post(path + "/deactivate").json()["status"] == "deactivated"


def test_each_operation_needs_its_permission(installation: Installation) -> None:
    id = create(installation.signed_in())["id"]
    client = installation.client(installation.access_token("charges:get"))
    for method, path, permission in (
        ("GET", "/v1/access-tokens", "access-tokens:search"),
        ("GET", f"/v1/access-tokens/{id}", "access-tokens:get"),
        ("POST", f"/v1/access-tokens/{id}/deactivate", "access-tokens:deactivate"),
        ("GET", "/v1/audit-events", "audit:get"),
    ):
        refused = client.request(method, path)
        assert reasons(refused) == (403, "permission_missing"), path
        assert f'scope="{permission}"' in refused.headers["www-authenticate"]


def test_users_deactivate_their_own_tokens_without_the_permission(
    installation: Installation,
) -> None:
    bob = installation.new_user("bob@example.com", role="manager")
    client = installation.signed_in("bob@example.com")
    own, adas = create(client)["id"], create(installation.signed_in())["id"]
    with installation.write() as change:
        change.session.execute(update(users).where(users.c.id == bob.id).values(role="reporting"))
        publish(change, Holder(bob.id, bob.company, True, "reporting"))
    refused = client.post(f"/v1/access-tokens/{adas}/deactivate")
    assert reasons(refused) == (403, "permission_missing")
    assert client.post(f"/v1/access-tokens/{own}/deactivate").json()["status"] == "deactivated"


def test_another_companys_token_is_404(any_installation: Installation) -> None:
    id = create(any_installation.signed_in())["id"]
    eve = any_installation.of_another_company("eve@example.com")
    answers = [
        eve.get(f"/v1/access-tokens/{id}"),
        eve.patch(f"/v1/access-tokens/{id}", json={"label": "x"}),
        eve.post(f"/v1/access-tokens/{id}/deactivate"),
        eve.get("/v1/access-tokens/gpat_0000000000000000"),
    ]
    for answer in answers:
        assert reasons(answer) == (404, "not_found")
        assert answer.json() == answers[0].json()
    assert eve.get("/v1/access-tokens").json()["items"] == []
    assert eve.get("/v1/access-tokens", params={"q": id}).json()["items"] == []


INVALID_IDS = [
    "x",
    "%00",
    "gpat_%00",
    "a%00b",
    "%ED%A0%80",
    "%FF",
    "ä",
    "😀",
    "x" * 10_000,
    "..",
    "%2e%2e",
    "%2F",
    "gpat_0000000000000000%20",
    "%25",
    "*",
]


def test_an_invalid_id_is_404(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    for id in INVALID_IDS:
        path = f"/v1/access-tokens/{id}"
        for answer in (
            ada.get(path),
            ada.patch(path, json={}),
            ada.post(path + "/deactivate"),
            ada.post(f"/v1/authentications/{id}/deactivate"),
            ada.post(f"/v1/verifier-keys/{id}/deactivate"),
        ):
            assert answer.status_code in (404, 405), (id, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


def test_if_match_compares_strong_etags(ada: httpx.Client) -> None:
    made = create(ada)
    path = f"/v1/access-tokens/{made['id']}"
    old = ada.get(path).headers["etag"]
    new = ada.patch(path, json={"label": "b"}, headers={"If-Match": old}).headers["etag"]
    unmatched: list[Any] = [
        old,
        f"W/{new}",
        new.strip('"'),
        "",
        '""',
        f"{old}, W/{new}",
        f'"*", {old}',
    ]
    for condition in unmatched:
        refused = ada.patch(path, json={"label": "c"}, headers={"If-Match": condition})
        assert reasons(refused) == (409, "changed_meanwhile"), condition
        assert refused.json()["current"] == ada.get(path).json()
        assert "token" not in refused.json()["current"]
    for condition in (f"{old}, {new}", f'"x,y" ,{new}', "*"):
        answer = ada.patch(path, json={"label": "b"}, headers={"If-Match": condition})
        assert answer.status_code == 200, condition
    two_lines = [("If-Match", old), ("If-Match", new)]
    assert ada.patch(path, json={"label": "d"}, headers=two_lines).json()["label"] == "d"
    assert ada.patch(path, json={"label": "e"}).json()["label"] == "e"


def test_patch_changes_only_the_fields_it_names(ada: httpx.Client) -> None:
    made = create(ada, expires_at="2126-01-01T00:00:00Z", networks=["10.0.0.0/8"])
    made.pop("token")
    path = f"/v1/access-tokens/{made['id']}"
    assert ada.patch(path, json={}).json() == made
    assert ada.patch(path, json={"networks": []}).json() == {**made, "networks": []}
    for change, wrong in (
        ({"kind": "ui"}, "kind"),
        ({"label": None}, "label"),
        ({"networks": None}, "networks"),
        ({"permissions": []}, "permissions"),
        ({"domains": ["shop.example.com"]}, "domains"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ):
        assert fields(ada.patch(path, json=change)) == [wrong]
    assert ada.get(path).json() == {**made, "networks": []}


def test_many_are_deactivated_at_once(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    path = "/v1/access-tokens/deactivate"
    texts = [create(ada, label=f"Job {n}", metadata={"n": str(n % 2)})["token"] for n in range(5)]
    ids = [text[:21] for text in texts]
    key = {"Idempotency-Key": "deactivate-these-two"}
    for _ in range(2):
        answer = ada.post(path, json={"ids": [*ids[:2], "gpat_nowhere"]}, headers=key)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"deactivated": 2, "already": 0, "not_found": 1}
    assert any_installation.verify(texts[1], permission="charges:get")["reason"] == (
        "token_deactivated"
    )
    even = {"filter": {"metadata": "n:0", "status": None}, "expect": 3}
    refused = ada.post(path, json={**even, "expect": 2})
    assert reasons(refused) == (409, "count_changed")
    assert ada.post(path, json=even).json() == {"deactivated": 2, "already": 1, "not_found": 0}
    assert [each["id"] for each in ada.get("/v1/access-tokens?status=active").json()["items"]] == [
        ids[3]
    ]
    # It may be completed between the two requests.
    one, other = (ada.get(f"/v1/access-tokens/{each}/receipt").json() for each in ids[:2])
    assert (one["revision"], one["at"]) == (other["revision"], other["at"])


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, "ids"),
        ({"ids": ["gpat_x"], "filter": {"q": "x"}, "expect": 1}, "ids"),
        ({"ids": ["gpat_x"], "expect": 1}, "ids"),
        ({"filter": {"q": "x"}}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": ["gpat_x"] * 1_001}, "ids"),
        ({"ids": "gpat_x"}, "ids"),
        ({"ids": [7]}, "ids.0"),
        ({"filter": {}, "expect": 0}, "filter"),
        ({"filter": {"q": " "}, "expect": 0}, "filter"),
        ({"filter": {"status": "any"}, "expect": 0}, "filter.status"),
        ({"filter": {"permission": "*"}, "expect": 0}, "filter.permission"),
        ({"filter": {"metadata": "x"}, "expect": 0}, "filter.metadata"),
        ({"filter": {"colour": "red"}, "expect": 0}, "filter.colour"),
        ({"filter": {"q": "x"}, "expect": "1"}, "expect"),
    ],
)
def test_an_unclear_selection_is_refused(
    ada: httpx.Client, body: dict[str, Any], wrong: str
) -> None:
    create(ada)
    assert fields(ada.post("/v1/access-tokens/deactivate", json=body)) == [wrong]
    assert ada.get("/v1/access-tokens").json()["items"][0]["status"] == "active"


def test_an_expired_token_cannot_be_changed(installation: Installation, ada: httpx.Client) -> None:
    soon = installation.node.clock.now() + 60_000
    made = create(ada, expires_at=format_time(soon))
    path = f"/v1/access-tokens/{made['id']}"
    installation.node.clock.offset_ns += 60_000_000_000
    assert ada.get(path).json()["status"] == "expired"
    assert reasons(ada.patch(path, json={"label": "x"})) == (409, "token_expired")
    expired = ada.get("/v1/access-tokens", params={"status": "expired"}).json()["items"]
    assert [token["id"] for token in expired] == [made["id"]]
    verdict = installation.verify(made["token"], permission="charges:get")
    assert verdict["reason"] == "token_expired"


def test_creation_and_deactivation_take_effect_at_once(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    for _ in range(5):
        made = create(ada)
        question = {"method": "GET", "path": "/v1/charges/ch_1"}
        assert any_installation.verify(made["token"], **question)["allowed"]
        ada.post(f"/v1/access-tokens/{made['id']}/deactivate")
        assert not any_installation.verify(made["token"], **question)["allowed"]


@pytest.mark.parametrize("since", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_token_that_was_never_used_was_not_used_since_any_time(
    installation: Installation, since: str
) -> None:
    installation.access_token("charges:get")
    ada = installation.signed_in()
    found = ada.get("/v1/access-tokens", params={"unused_since": since}).json()["items"]
    assert len(found) == 1
    body = {"filter": {"unused_since": since}, "expect": 1}
    ended = ada.post("/v1/access-tokens/deactivate", json=body)
    assert ended.json()["deactivated"] == 1
