"""``POST /v1/verify``: a service's questions and the answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from gatepass.core.reason import STATUS, Reason
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.body_limits import MOST_BODY_BYTES
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.verification import VERIFY
from tests.support.apps.gateway_clients import Ask, asgi, plain
from tests.support.grants.grant_fixtures import START_MS, Clocks, Samples

GET = {"permission": "charges:get"}


def key_of(shared_samples: Samples, name: str = "verifier") -> list[tuple[str, str | bytes]]:
    """The header with a verifier key."""
    return [("Authorization", "Bearer " + shared_samples.texts[name])]


def body_of(shared_samples: Samples, question: dict[str, Any]) -> bytes:
    """The JSON of a question; ``token`` is the name of a sample, or a text."""
    if isinstance(question.get("token"), str):
        question = {
            **question,
            "token": shared_samples.texts.get(question["token"], question["token"]),
        }
    return json.dumps(question).encode()


def test_an_allowed_call(shared_samples: Samples, asked: Ask) -> None:
    """The decision and the grant."""
    question = {"token": "good", **GET}
    answer = asked("POST", VERIFY, key_of(shared_samples), body_of(shared_samples, question))
    assert answer.status == 200
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    assert answer.json == {
        "allowed": True,
        "reason": "allowed",
        "status": 200,
        "needed": ["charges:get"],
        "grant": {
            "id": shared_samples.grants["good"].id,
            "label": "the good one",
            "kind": "api",
            "company": "cmp_1",
            "user": "usr_dev",
            "owner": {"type": "user", "id": "usr_dev", "external_id": None, "name": "Dev"},
            "permissions": ["charges:create", "charges:get"],
            "expires_at": None,
            "metadata": {},
            "external_id": None,
        },
    }


#: description, question, reason
TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("a permission", {"token": "good", **GET}, "allowed"),
    ("method and path", {"token": "good", "method": "POST", "path": "/v1/charges"}, "allowed"),
    ("all three", {"token": "good", **GET, "method": "HEAD", "path": "/v1/charges/1"}, "allowed"),
    ("nulls are absent", {"token": "good", **GET, "method": None, "path": None}, "allowed"),
    (
        "a null permission is absent",
        {"token": "good", "permission": None, "method": "GET", "path": "/v1/charges/1"},
        "allowed",
    ),
    ("a login token", {"token": "login", **GET}, "allowed"),
    ("a login token's role", {"token": "login", "permission": "refunds:create"},
     "permission_missing"),
    ("no token", GET, "token_missing"),
    ("a null token", {"token": None, **GET}, "token_missing"),
    ("an empty token", {"token": "", **GET}, "token_missing"),
    ("any string is a token", {"token": "x", **GET}, "token_invalid"),
    ("a token of another script", {"token": "ключ" * 15, **GET}, "token_invalid"),
    ("half a character", {"token": "\ud800", **GET}, "token_invalid"),
    ("a megabyte of token", {"token": "g" * 1_000_000, **GET}, "token_invalid"),
    ("it isn't trimmed", {"token": " ", **GET}, "token_invalid"),
    ("a verifier key", {"token": "verifier", **GET}, "token_invalid"),
    ("an invitation", {"token": "invitation", **GET}, "token_invalid"),
    ("a password reset", {"token": "reset", **GET}, "token_invalid"),
    ("a change of an address", {"token": "email change", **GET}, "token_invalid"),
    ("unknown", {"token": "unknown", **GET}, "token_invalid"),
    ("a wrong secret", {"token": "wrong secret", **GET}, "token_invalid"),
    ("a bad checksum", {"token": "bad checksum", **GET}, "token_invalid"),
    ("deactivated", {"token": "deactivated", **GET}, "token_deactivated"),
    ("expired", {"token": "expired", **GET}, "token_expired"),
    ("gone", {"token": "gone", **GET}, "account_deactivated"),
    ("closed", {"token": "closed", **GET}, "account_deactivated"),
    ("absent address, list", {"token": "listed", **GET}, "company_address_not_allowed"),
    ("null address, list", {"token": "listed", "address": None, **GET},
     "company_address_not_allowed"),
    ("unreadable address, list", {"token": "listed", "address": "?", **GET},
     "company_address_not_allowed"),
    ("empty address, list", {"token": "listed", "address": "", **GET},
     "company_address_not_allowed"),
    ("address outside the list", {"token": "listed", "address": "1.2.3.4", **GET},
     "company_address_not_allowed"),
    ("address inside the list", {"token": "listed", "address": "203.0.113.0", **GET}, "allowed"),
    ("mapped address inside the list", {"token": "listed", "address": "::ffff:203.0.113.0", **GET},
     "allowed"),
    ("absent address, networks", {"token": "networked", **GET}, "address_not_allowed"),
    ("unreadable address, networks", {"token": "networked", "address": "198.51.100.7 ", **GET},
     "address_not_allowed"),
    ("address inside the networks", {"token": "networked", "address": "198.51.100.7", **GET},
     "allowed"),
    ("unreadable address, no list", {"token": "good", "address": "?", **GET}, "allowed"),
    ("empty address, no list", {"token": "good", "address": "", **GET}, "allowed"),
    ("a long address", {"token": "good", "address": "1" * 900_000, **GET}, "allowed"),
    ("no origin", {"token": "ui", **GET}, "origin_missing"),
    ("a null origin", {"token": "ui", "origin": None, **GET}, "origin_missing"),
    ("an empty origin", {"token": "ui", "origin": "", **GET}, "origin_not_allowed"),
    ("the origin", {"token": "ui", "origin": "https://shop.example.com", **GET}, "allowed"),
    ("another origin", {"token": "ui", "origin": "https://example.com", **GET},
     "origin_not_allowed"),
    ("a broken origin", {"token": "ui", "origin": "https://\ud800", **GET}, "origin_not_allowed"),
    ("the referer", {"token": "ui", "referer": "https://shop.example.com/a", **GET}, "allowed"),
    ("an empty referer", {"token": "ui", "referer": "", **GET}, "origin_not_allowed"),
    ("an origin beats the referer",
     {"token": "ui", "origin": "null", "referer": "https://shop.example.com/a", **GET},
     "origin_not_allowed"),
    ("an ambiguous path", {"token": "good", "method": "GET", "path": "/v1/charges/"},
     "path_ambiguous"),
    ("an empty path", {"token": "good", "method": "GET", "path": ""}, "path_ambiguous"),
    ("half a character for a path", {"token": "good", "method": "GET", "path": "/\udfff"},
     "path_ambiguous"),
    ("an empty method", {"token": "good", "method": "", "path": "/v1/charges/1"}, "route_unknown"),
    ("an unknown route", {"token": "good", **GET, "method": "GET", "path": "/"}, "path_ambiguous"),
    ("another route", {"token": "good", **GET, "method": "GET", "path": "/v2"}, "route_unknown"),
    ("a permission that isn't held", {"token": "good", "permission": "refunds:create"},
     "permission_missing"),
    ("a permission that nobody knows", {"token": "good", "permission": "no:such"},
     "permission_missing"),
    ("the route's permission isn't held",
     {"token": "good", **GET, "method": "POST", "path": "/v1/charges/1/refund"},
     "permission_missing"),
    ("the permission asked for isn't held, the route's is",
     {"token": "good", "permission": "refunds:create", "method": "GET", "path": "/v1/charges/1"},
     "permission_missing"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "reason"), [pytest.param(*case[1:], id=case[0]) for case in TABLE]
)
def test_the_decision(
    shared_samples: Samples, asked: Ask, question: dict[str, Any], reason: str
) -> None:
    """Always 200; ``grant`` is present once the secret matched."""
    answer = asked("POST", VERIFY, key_of(shared_samples), body_of(shared_samples, question))
    assert answer.status == 200
    found = answer.json
    assert (found["reason"], found["allowed"]) == (reason, reason == "allowed")
    assert found["status"] == STATUS[Reason(reason)]
    assert ("grant" in found) == (reason not in ("token_missing", "token_invalid"))
    # A sign-in's calls aren't kept.
    explained = not found["allowed"] and found.get("grant", {}).get("kind") in ("api", "ui")
    assert ("help" in found) == explained
    assert set(found) - {"grant", "help"} == {"allowed", "reason", "status", "needed"}
    assert answer.header("www-authenticate") is None


#: description, body, invalid fields
INVALID: list[tuple[str, str, set[str]]] = [
    ("nothing to check", '{"token": "x"}', {"permission"}),
    ("an empty object", "{}", {"permission"}),
    ("nulls alone", '{"permission": null, "method": null, "path": null}', {"permission"}),
    ("method alone", '{"method": "GET"}', {"path"}),
    ("path alone", '{"path": "/"}', {"method"}),
    ("permission and method", '{"permission": "a:b", "method": "GET"}', {"path"}),
    ("permission and path", '{"permission": "a:b", "path": "/"}', {"method"}),
    ("an unknown field", '{"permission": "a:b", "more": 1}', {"more"}),
    ("unknown fields", '{"permission": "a:b", "x": 1, "y": null}', {"x", "y"}),
    ("another case", '{"permission": "a:b", "Token": "x"}', {"Token"}),
    ("a number for a token", '{"permission": "a:b", "token": 1}', {"token"}),
    ("false for a token", '{"permission": "a:b", "token": false}', {"token"}),
    ("a list for a token", '{"permission": "a:b", "token": []}', {"token"}),
    ("an object for a token", '{"permission": "a:b", "token": {}}', {"token"}),
    ("a list of permissions", '{"permission": ["a:b"]}', {"permission"}),
    ("true for a permission", '{"permission": true}', {"permission"}),
    ("a number for a method", '{"method": 1, "path": "/"}', {"method"}),
    ("a number for a path", '{"method": "GET", "path": 1}', {"path"}),
    ("a number for an address", '{"permission": "a:b", "address": 2130706433}', {"address"}),
    ("a list of origins", '{"permission": "a:b", "origin": ["https://a.b"]}', {"origin"}),
    ("a number for a referer", '{"permission": "a:b", "referer": 1.5}', {"referer"}),
    ("several at once", '{"permission": 1, "token": 2, "x": 3}', {"permission", "token", "x"}),
    ("an empty permission", '{"permission": ""}', {"permission"}),
    ("a wildcard", '{"permission": "*"}', {"permission"}),
    ("all of a resource", '{"permission": "charges:*"}', {"permission"}),
    ("upper case", '{"permission": "Charges:get"}', {"permission"}),
    ("a line feed", '{"permission": "charges:get\\n"}', {"permission"}),
    ("another script", '{"permission": "chargеs:get"}', {"permission"}),
    ("half a character", '{"permission": "\\ud800:get"}', {"permission"}),
    ("half a character for a name", '{"permission": "a:b", "\\ud800": 1}', {"?"}),
    ("NaN", '{"permission": "a:b", "token": NaN}', {"body"}),
    ("Infinity", '{"permission": "a:b", "token": -Infinity}', {"body"}),
    ("a number too large", '{"permission": "a:b", "token": 1e999}', {"body"}),
    ("a number too long", '{"permission": "a:b", "token": ' + "9" * 5_000 + "}", {"body"}),
    ("duplicates", '{"permission": "a:b", "token": "x", "token": "x"}', {"token"}),
    ("duplicates in disguise", '{"permission": "a:b", "p\\u0061th": "/", "path": "/"}', {"path"}),
    ("duplicates within", '{"permission": "a:b", "token": {"a": 1, "a": 2}}', {"a"}),
    ("too deep", "[" * 200_000, {"body"}),
    ("a list", "[]", {"body"}),
    ("a string", '"charges:get"', {"body"}),
    ("a number", "1", {"body"}),
    ("null", "null", {"body"}),
]


@pytest.mark.parametrize(
    ("body", "fields"), [pytest.param(*case[1:], id=case[0]) for case in INVALID]
)
def test_an_invalid_question_is_422(
    shared_samples: Samples, asked: Ask, body: str, fields: set[str]
) -> None:
    """With the fields, and without a decision."""
    answer = asked("POST", VERIFY, key_of(shared_samples), body.encode())
    assert answer.status == 422
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json["reason"] == "invalid"
    errors = answer.json["errors"]
    assert isinstance(errors, list)
    assert {error["field"] for error in errors} == fields
    assert all(error["message"] for error in errors)


BROKEN: list[bytes] = [
    b"",
    b" ",
    b"{",
    b'{"permission": "a:b",}',
    b'{"permission": "a:b"} {}',
    b"{'permission': 'a:b'}",
    b'{"permission": "a:b\n"}',
    b'{"permission": "\xff"}',
    b'\xef\xbb\xbf{"permission": "a:b"}',
    '{"permission": "a:b"}'.encode("utf-16"),
    b'{"permission": "a:b", "token": nan}',
    b"\x00",
    b"permission=a:b",
]


@pytest.mark.parametrize("body", BROKEN)
def test_a_body_that_is_not_json_is_400(shared_samples: Samples, asked: Ask, body: bytes) -> None:
    answer = asked("POST", VERIFY, key_of(shared_samples), body)
    assert answer.status == 400
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json["status"] == 400


def test_errors_are_truncated(shared_samples: Samples, asked: Ask) -> None:
    """A megabyte of unknown names isn't echoed."""
    many = {f"unknown{n}": n for n in range(40_000)}
    for question in (many, {"permission": "a:b", "x" * 900_000: 1}):
        answer = asked("POST", VERIFY, key_of(shared_samples), json.dumps(question).encode())
        assert answer.status == 422
        assert len(answer.body) < 5_000


KEYS: list[tuple[str, str | None, str]] = [
    ("none", None, "token_missing"),
    ("an access token", "good", "token_invalid"),
    ("a login token", "admin login", "token_invalid"),
    ("an unknown one", "unknown", "token_invalid"),
    ("a deactivated one", "ended verifier", "token_deactivated"),
    ("an invitation", "invitation", "token_invalid"),
    ("a bad checksum", "bad checksum", "token_invalid"),
]


@pytest.mark.parametrize(("name", "reason"), [pytest.param(*case[1:], id=case[0]) for case in KEYS])
@pytest.mark.parametrize("body", [b'{"permission": "charges:get"}', b"broken", b"[]"])
def test_a_question_needs_a_verifier_key(
    shared_samples: Samples, asked: Ask, name: str | None, reason: str, body: bytes
) -> None:
    """Without one the body isn't parsed."""
    headers = [] if name is None else key_of(shared_samples, name)
    answer = asked("POST", VERIFY, headers, body)
    assert answer.status == 401
    assert answer.json["reason"] == reason
    assert answer.header("cache-control") == "no-store"
    challenge = answer.header("www-authenticate")
    assert challenge is not None
    assert challenge.startswith('Bearer realm="gatepass"')
    assert ("error=" in challenge) == (name is not None)


def test_a_key_may_be_in_either_header(shared_samples: Samples, asked: Ask) -> None:
    """Two that differ are refused."""
    body = body_of(shared_samples, {"token": "good", **GET})
    key = shared_samples.texts["verifier"]
    assert asked("POST", VERIFY, [("X-Access-Token", key)], body).status == 200
    both = [("X-Access-Token", key), ("Authorization", f"Bearer {key}")]
    assert asked("POST", VERIFY, both, body).status == 200
    unlike = [("X-Access-Token", shared_samples.texts["good"]), ("Authorization", f"Bearer {key}")]
    assert asked("POST", VERIFY, unlike, body).json["reason"] == "token_invalid"


def test_the_services_own_headers_are_ignored(shared_samples: Samples, asked: Ask) -> None:
    """Its Origin, address and X-Original-URI aren't the call's."""
    headers = [
        *key_of(shared_samples),
        ("Origin", "https://shop.example.com"),
        ("Referer", "https://shop.example.com/"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Original-URI", "/v1/charges/1"),
        ("X-Original-Method", "GET"),
    ]
    for token, reason in (("ui", "origin_missing"), ("listed", "company_address_not_allowed")):
        answer = asked("POST", VERIFY, headers, body_of(shared_samples, {"token": token, **GET}))
        assert answer.json["reason"] == reason
    assert asked("POST", VERIFY, headers, body_of(shared_samples, {"token": "good"})).status == 422


@pytest.mark.parametrize("size", [MOST_BODY_BYTES, MOST_BODY_BYTES + 1])
def test_a_body_of_more_than_a_mebibyte_is_413(
    shared_samples: Samples, asked: Ask, size: int
) -> None:
    body = body_of(shared_samples, {"token": "good", **GET})
    answer = asked("POST", VERIFY, key_of(shared_samples), body + b" " * (size - len(body)))
    assert answer.status == (200 if size == MOST_BODY_BYTES else 413)
    if answer.status == 413:
        assert answer.json["reason"] == "body_too_large"


@pytest.mark.parametrize("way", [plain, asgi])
@pytest.mark.parametrize("peer", ["203.0.113.9", "", "unknown"])
def test_any_peer_may_ask_with_a_key(
    shared_samples: Samples, endpoints: Endpoints, way: Any, peer: str
) -> None:
    answer = way(endpoints, peer)(
        "POST", VERIFY, key_of(shared_samples), body_of(shared_samples, {"token": "good", **GET})
    )
    assert answer.json["allowed"] is True


def test_the_expiry_has_milliseconds(tmp_path: Path, clocks: Clocks) -> None:
    """RFC 3339, UTC."""
    samples = Samples(tmp_path / "gatepass.db")
    samples.change("good", expires_at=START_MS + 1)
    endpoints = Endpoints(samples.verifier(clocks.clock()), TrustedProxies.of([]), lambda: None)
    answer = plain(endpoints)(
        "POST", VERIFY, key_of(samples), body_of(samples, {"token": "good", **GET})
    )
    grant = answer.json["grant"]
    assert isinstance(grant, dict)
    assert grant["expires_at"] == "2027-01-15T08:00:00.001Z"
    samples.close()


def test_the_grant_has_the_effective_permissions(tmp_path: Path, clocks: Clocks) -> None:
    """Also for a refused call."""
    samples = Samples(tmp_path / "gatepass.db")
    endpoints = Endpoints(samples.verifier(clocks.clock()), TrustedProxies.of([]), lambda: None)
    ask = plain(endpoints)
    for token, permissions in (
        ("good", ["charges:create", "charges:get"]),
        ("poor", []),
        ("wide", ["charges:*"]),
        ("admin login", ["*"]),
        ("expired", ["charges:create", "charges:get"]),
    ):
        answer = ask("POST", VERIFY, key_of(samples), body_of(samples, {"token": token, **GET}))
        grant = answer.json["grant"]
        assert isinstance(grant, dict)
        assert grant["permissions"] == permissions
    samples.close()
