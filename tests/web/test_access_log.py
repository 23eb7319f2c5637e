"""The access log: what a line says, and what it never says."""

import logging
from typing import Any

import pytest

from gatepass.core.credentials import ID_LENGTH
from gatepass.registry.actor import Actor
from gatepass.registry.tokens import access_tokens
from gatepass.web import access_log
from tests.support.apps.installation import Installation
from tests.support.grants.grant_fixtures import another_secret

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
UUID = "123e4567-e89b-12d3-a456-426614174000"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"access_log": True}


def lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """What was logged since the last time: the fields of each line."""
    found = [one for one in caplog.records if one.name == "gatepass.access"]
    fields: list[Any] = [getattr(one, "fields", None) for one in found]
    caplog.clear()
    return fields


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gatepass.access")


def test_a_line_names_the_token_and_the_reason(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    token = installation.access_token("access-tokens:search")
    lines(caplog)
    headers = {
        "X-Request-ID": "abc-1",
        "traceparent": f"00-{TRACE}-{PARENT}-01",
        "X-Forwarded-For": "203.0.113.7",
    }
    client = installation.client(token)
    answer = client.get("/v1/access-tokens?q=secret", headers=headers)
    assert answer.headers["x-request-id"] == "abc-1"
    [line] = lines(caplog)
    assert line.pop("duration_ms") > 0
    assert line == {
        "method": "GET",
        "path": "/v1/access-tokens",
        "status": 200,
        "address": "203.0.113.7",
        "request_id": "abc-1",
        "trace": TRACE,
        "token": token[:ID_LENGTH],
        "reason": "allowed",
    }
    answer = installation.client("gpat_nothing").get("/v1/me", headers={"X-Request-ID": "a b"})
    [line] = lines(caplog)
    assert (line["status"], line["token"], line["reason"]) == (401, None, "token_invalid")
    assert answer.headers["x-request-id"] == line["request_id"] != "a b"


def test_decisions_are_told(installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    token = installation.access_token("charges:get")
    key = installation.verifier_key()
    lines(caplog)
    for permission, reason in (
        ("charges:get", "allowed"),
        ("refunds:get", "permission_missing"),
    ):
        question = {"token": token, "permission": permission}
        installation.client(key).post("/v1/verify", json=question)
        [line] = lines(caplog)
        assert (line["token"], line["reason"]) == (token[:ID_LENGTH], reason)
    guessed = another_secret(token)
    for sent, uri, status, reason, named in (
        (token, "/v1/charges/1", 204, "allowed", token[:ID_LENGTH]),
        (token, "/v1/refunds/1", 403, "permission_missing", token[:ID_LENGTH]),
        # Only a token whose secret matched.
        (guessed, "/v1/refunds/1", 401, "token_invalid", None),
    ):
        asked = {"X-Original-URI": uri, "X-Original-Method": "GET"}
        answer = installation.client(sent).get("/authz/nginx", headers=asked)
        [line] = lines(caplog)
        assert (line["status"], line["reason"], line["token"]) == (status, reason, named)
        # A client never gets an id that it didn't get before.
        assert ("x-gatepass-token" in answer.headers) == (status == 204)


def test_introspected_and_evaluated_tokens_are_named(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    token = installation.access_token("charges:get")
    client = installation.client(installation.verifier_key())
    guessed = another_secret(token)
    lines(caplog)
    for sent, reason, named in (
        (token, "allowed", token[:ID_LENGTH]),
        (guessed, "token_invalid", None),
    ):
        evaluation = {
            "subject": {"type": "access_token", "id": sent},
            "action": {"name": "get"},
            "resource": {"type": "charges", "id": "1"},
        }
        client.post("/v1/introspect", data={"token": sent})
        client.post("/access/v1/evaluation", json=evaluation)
        found = lines(caplog)
        assert [(line["token"], line["reason"]) for line in found] == [(named, reason)] * 2
    installation.do(access_tokens.deactivate, Actor.command_line(), token[:ID_LENGTH])
    client.post("/v1/introspect", data={"token": token})
    [line] = lines(caplog)
    assert (line["token"], line["reason"]) == (token[:ID_LENGTH], "token_deactivated")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/invitations/gpiv_0123456789abcdefSECRETSECRET", "/invitations/gpiv_0123456789abcdef…"),
        ("/access-tokens/gpat_0123456789abcdef", "/access-tokens/gpat_0123456789abcdef"),
        ("/access-tokens/acme_live_0123456789abcdefghijklm/edit", "/access-tokens/acme_liv…/edit"),
        ("/keys/acme_live_abcdefghijklmNOPQRSTUVWXYZ", "/keys/acme_liv…"),
        *((path, path) for path in ("/a-slug-of-more-than-thirty-two-letters", f"/a/{UUID}/b")),
        (f"/acme_{UUID}", "/acme_123…"),
        ("/a b\n\u202e", "/a?b??"),
        ("/" + "x" * 1_000, "/" + "x" * 499),
        ("/" + "x" * 480 + "/gpat_0123456789abcdefSECRET", "/" + "x" * 480 + "/gpat_0123456789abc"),
    ],
)
def test_a_path_has_no_secret(path: str, shown: str) -> None:
    assert access_log.shown(path) == shown


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ([f"00-{TRACE}-{PARENT}-01"], TRACE),
        ([f"cc-{TRACE}-{PARENT}-01"], TRACE),
        ([f"cc-{TRACE}-{PARENT}-01-later"], TRACE),
        ([f"00-{TRACE}-{PARENT}-01-later"], None),
        ([f"00-{TRACE}-{PARENT}-01-"], None),
        ([f"cc-{TRACE}-{PARENT}-01later"], None),
        ([f"ff-{TRACE}-{PARENT}-01"], None),
        ([f"00-{'0' * 32}-{PARENT}-01"], None),
        ([f"00-{TRACE}-{'0' * 16}-01"], None),
        ([f"00-{TRACE.upper()}-{PARENT}-01"], None),
        ([f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01"], None),
        ([None], None),
        ([], None),
    ],
)
def test_an_invalid_traceparent_is_ignored(sent: list[str | None], found: str | None) -> None:
    assert access_log.trace(lambda name: sent) == found


def test_a_link_is_logged_without_its_secret(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "gprs_0123456789abcdef" + "S" * 38
    installation.client().get(f"/password-resets/{secret}")
    assert "S" * 10 not in caplog.text
    [line] = lines(caplog)
    assert line["path"] == "/password-resets/gprs_0123456789abcdef…"


def test_it_is_off_by_default(sqlite_url: str, open_installation: Any, caplog: Any) -> None:
    installation = open_installation(sqlite_url)
    answer = installation.client().get("/health/live")
    assert "x-request-id" not in answer.headers
    assert lines(caplog) == []


def test_a_refusal_after_the_admission_is_told(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    token = installation.access_token("charges:get")
    lines(caplog)
    installation.client(token).get(f"/v1/access-tokens/{token[:ID_LENGTH]}")
    [line] = lines(caplog)
    assert (line["status"], line["reason"]) == (403, "permission_missing")


def test_a_record_with_members_of_the_same_names_is_no_fault() -> None:
    json = [(b"content-type", b"application/json")]
    assert access_log.told(json, b'{"grant": {}, "reason": "x"}') == (None, "x")
    for body in (b"[]", b"{", b'{"grant": 1}'):
        assert access_log.told(json, body) == (None, None)
