"""``POST /v1/introspect`` (RFC 7662), on both ports."""

from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from gatepass.core.credentials import ID_LENGTH
from gatepass.registry.actor import Actor
from gatepass.registry.directory import verifier_keys
from gatepass.web.gateway.introspection import INTROSPECT
from tests.support.apps.answer import Answer
from tests.support.apps.gateway_clients import Ask
from tests.support.apps.installation import Installation
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Headers
from tests.web.gateway.test_verify import key_of


def introspect(samples: Samples, asked: Ask, body: str, headers: Headers | None = None) -> Answer:
    return asked("POST", INTROSPECT, headers or key_of(samples), body.encode())


def test_a_valid_token_is_active(shared_samples: Samples, asked: Ask) -> None:
    answer = introspect(shared_samples, asked, urlencode({"token": shared_samples.texts["good"]}))
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.header("cache-control") == "no-store"
    assert answer.json == {
        "active": True,
        "scope": "charges:create charges:get",
        "client_id": shared_samples.grants["good"].id,
        "sub": "usr_dev",
        "token_type": "Bearer",
        "kind": "api",
        "company": "cmp_1",
    }


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("unknown", {}),
        ("wrong secret", {}),
        ("bad checksum", {}),
        ("deactivated", {}),
        ("pending", {}),
        ("expired", {}),
        ("gone", {}),
        ("closed", {}),
        ("listed", {}),
        ("listed", {"address": "198.51.100.1"}),
        ("networked", {"address": "unreadable"}),
        ("ui", {}),
        ("ui", {"origin": "https://evil.example"}),
        ("ui", {"referer": "https://evil.example/shop.example.com"}),
        ("verifier", {}),
        ("invitation", {}),
        ("empty", {}),
    ],
)
def test_any_other_is_inactive_and_nothing_else_is_told(
    shared_samples: Samples, asked: Ask, name: str, where: dict[str, str]
) -> None:
    fields = {"token": shared_samples.texts[name], **where}
    answer = introspect(shared_samples, asked, urlencode(fields))
    assert (answer.status, answer.body) == (200, b'{"active":false}')


@pytest.mark.parametrize(
    ("name", "where", "kind"),
    [
        ("listed", {"address": "203.0.113.7"}, "api"),
        ("networked", {"address": "198.51.100.9"}, "api"),
        ("ui", {"origin": "https://shop.example.com"}, "ui"),
        ("ui", {"referer": "https://shop.example.com/x"}, "ui"),
        ("login", {}, "login"),
        ("poor", {"token_type_hint": "access_token", "hint": "x"}, "api"),
    ],
)
def test_address_and_origin_count(
    shared_samples: Samples, asked: Ask, name: str, where: dict[str, str], kind: str
) -> None:
    fields = {"token": shared_samples.texts[name], **where}
    told: Any = introspect(shared_samples, asked, urlencode(fields)).json
    assert (told["active"], told["kind"]) == (True, kind)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "tokens=x",
        "token=x&token=x",
        "token=x&address=::1&address=::2",
        "token=x&origin=a&origin=b",
        '{"token": "x"}',
        "token=%ff",
        "token=\xff",
        "&".join(f"a{number}=" for number in range(101)) + "&token=x",
    ],
)
def test_a_form_that_isnt_one_is_an_invalid_request(
    shared_samples: Samples, asked: Ask, body: str
) -> None:
    answer = introspect(shared_samples, asked, body)
    assert (answer.status, answer.json["reason"]) == (400, "invalid_request")


def test_the_key_may_be_a_basic_password(shared_samples: Samples, asked: Ask) -> None:
    key = shared_samples.texts["verifier"]
    body = urlencode({"token": shared_samples.texts["good"]})
    for user, password, status in (
        ("anything", key, 200),
        ("", key, 200),
        ("x", key.replace("_", "%5F"), 200),
        ("x", key.replace("_", "%255F"), 401),
        ("x", "gpvk_nothing", 401),
        (key, "", 401),
        ("x", shared_samples.texts["good"], 401),
        ("x", shared_samples.texts["ended verifier"], 401),
    ):
        basic = b64encode(f"{user}:{password}".encode()).decode()
        headers = [("Authorization", f"Basic {basic}")]
        assert introspect(shared_samples, asked, body, headers).status == status
    for wrong in ("Basic", "Basic !", "Basic /////w==", "Bearer x"):
        headers = [("Authorization", wrong)]
        assert introspect(shared_samples, asked, body, headers).status == 401
    # Elsewhere Basic is no credential.
    basic = b64encode(f"x:{key}".encode()).decode()
    answer = asked("POST", "/v1/verify", [("Authorization", f"Basic {basic}")], b"{}")
    assert answer.status == 401


def test_other_methods_are_405(shared_samples: Samples, asked: Ask) -> None:
    if asked.__qualname__.startswith("plain"):
        return
    answer = asked("GET", INTROSPECT, key_of(shared_samples), b"")
    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_an_introspected_token_was_not_used(any_installation: Installation) -> None:
    token = any_installation.access_token("charges:get", "refunds:get")
    client = any_installation.client(any_installation.verifier_key())
    told = client.post(INTROSPECT, data={"token": token}).json()
    assert told["scope"] == "charges:get refunds:get"
    made = any_installation.signed_in().get(f"/v1/access-tokens/{token[:ID_LENGTH]}").json()
    assert told["sub"] == any_installation.ada.id
    assert abs(told["iat"] - any_installation.node.clock.now() / 1000) < 600
    assert "exp" not in told
    any_installation.node.usage.flush()
    any_installation.node.fold()
    path = f"/v1/access-tokens/{token[:ID_LENGTH]}"
    assert any_installation.signed_in().get(path).json()["last_used"] is None
    assert made["last_used"] is None
    session = client.post(INTROSPECT, data={"token": any_installation.sign_in()}).json()
    assert session["kind"] == "login"
    assert session["exp"] > session["iat"]
    # The control plane's own credentials are none of a resource server's business.
    for other in (any_installation.admin_key(), any_installation.verifier_key()):
        assert client.post(INTROSPECT, data={"token": other}).json() == {"active": False}


def test_a_limited_key_knows_its_companies_alone(any_installation: Installation) -> None:
    carl = any_installation.of_another_company()
    body = {"label": "theirs", "kind": "api", "permissions": ["charges:get"]}
    theirs = carl.post("/v1/access-tokens", json=body).json()["token"]
    key = any_installation.do(
        verifier_keys.create,
        Actor.command_line(),
        label="one company's",
        companies=[any_installation.company.id],
    )[1]
    limited = any_installation.client(key)
    assert limited.post(INTROSPECT, data={"token": theirs}).content == b'{"active":false}'
    own = any_installation.access_token("charges:get")
    assert limited.post(INTROSPECT, data={"token": own}).json()["active"] is True
