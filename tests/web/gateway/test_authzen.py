"""AuthZEN's Authorization API 1.0, on both ports."""

import json
from typing import Any

import pytest

from gatepass.settings import DEFAULT_PUBLIC_URL
from gatepass.web.gateway.authzen import EVALUATION, EVALUATIONS, MOST
from tests.support.apps.answer import Answer
from tests.support.apps.gateway_clients import Ask
from tests.support.grants.grant_fixtures import Samples
from tests.web.gateway.test_verify import key_of

ACTION = {"name": "charges:create"}
RESOURCE = {"type": "charge", "id": "ch_1"}


def ask(samples: Samples, asked: Ask, body: object, path: str = EVALUATION) -> Answer:
    return asked("POST", path, key_of(samples), json.dumps(body).encode())


def subject(samples: Samples, name: str = "good") -> dict[str, Any]:
    return {"type": "access_token", "id": samples.texts[name]}


@pytest.mark.parametrize(
    ("name", "more", "decision", "reason", "needed"),
    [
        ("good", {}, True, "allowed", ["charges:create"]),
        ("good", {"action": {"name": "refunds:create"}}, False, "permission_missing", None),
        (
            "good",
            {"action": {"name": "create"}, "resource": {"type": "charges", "id": "any"}},
            True,
            "allowed",
            ["charges:create"],
        ),
        (
            "good",
            {"action": {"name": "GET"}, "resource": {"type": "route", "id": "/v1/charges/1"}},
            True,
            "allowed",
            ["charges:get"],
        ),
        (
            "good",
            {"action": {"name": "GET"}, "resource": {"type": "route", "id": "/v1/nothing"}},
            False,
            "route_unknown",
            [],
        ),
        ("networked", {"context": {"address": "198.51.100.9"}}, True, "allowed", None),
        ("networked", {"context": {"time": 1}}, False, "address_not_allowed", None),
        ("ui", {"context": {"origin": "https://shop.example.com"}}, True, "allowed", None),
        (
            "ui",
            {"context": {"referer": "https://evil.example/"}},
            False,
            "origin_not_allowed",
            None,
        ),
        ("expired", {}, False, "token_expired", None),
        ("unknown", {}, False, "token_invalid", None),
        ("verifier", {}, False, "token_invalid", None),
    ],
)
def test_a_decision(
    shared_samples: Samples,
    asked: Ask,
    name: str,
    more: dict[str, Any],
    decision: bool,
    reason: str,
    needed: list[str] | None,
) -> None:
    request = {"subject": subject(shared_samples, name), "action": ACTION, "resource": RESOURCE}
    answer = ask(shared_samples, asked, request | more)
    assert answer.status == 200
    told: Any = answer.json
    assert (told["decision"], told["context"]["reason"]) == (decision, reason)
    assert set(told) == {"decision", "context"}
    if needed is not None and "needed" in told["context"]:
        assert told["context"]["needed"] == needed
    asks = f"{DEFAULT_PUBLIC_URL}/v1/access-requests" if reason == "permission_missing" else None
    assert told["context"].get("access_request") == asks


def test_an_id_is_never_looked_up(shared_samples: Samples, asked: Ask) -> None:
    bare = {"type": "access_token", "id": shared_samples.grants["good"].id}
    for id in (bare, {"type": "access_token", "id": ""}, {"type": "access_token", "id": "alice"}):
        request = {"subject": id, "action": ACTION, "resource": RESOURCE}
        told: Any = ask(shared_samples, asked, request).json
        assert (told["decision"], told["context"]["reason"]) == (False, "token_invalid")


@pytest.mark.parametrize(
    "more",
    [
        {"subject": None},
        {"subject": {"type": "user", "id": "alice@example.com"}},
        {"subject": {"type": "access_token"}},
        {"subject": {"type": "access_token", "id": 1}},
        {"subject": "gpat_"},
        {"action": {}},
        {"action": {"name": "charges:"}},
        {"action": {"name": "charges:*"}},
        {"action": {"name": "Create"}},
        {"action": {"name": "create", "properties": {}}, "resource": {"type": "a b", "id": "1"}},
        {"resource": {"type": "route"}},
        {"resource": {"id": "1"}},
        {"resource": []},
        {"context": []},
        {"context": {"address": 1}},
    ],
)
def test_what_it_cant_ask_is_400(shared_samples: Samples, asked: Ask, more: dict[str, Any]) -> None:
    request = {"subject": subject(shared_samples), "action": ACTION, "resource": RESOURCE}
    answer = ask(shared_samples, asked, request | more)
    assert (answer.status, answer.json["reason"]) == (400, "bad_request")
    # Of several, the others are decided all the same.
    answer = ask(shared_samples, asked, {"evaluations": [request | more, request]}, EVALUATIONS)
    assert answer.status == 200
    told: Any = answer.json
    first, second = told["evaluations"]
    assert (first["decision"], second["decision"]) == (False, True)
    assert set(first["context"]) == {"reason", "error"}
    assert first["context"]["reason"] == "bad_request"
    assert first["context"]["error"]["status"] == 400
    assert shared_samples.texts["good"] not in answer.body.decode()


@pytest.mark.parametrize(
    ("semantic", "expected"),
    [
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_an_evaluation_that_cant_be_understood_is_a_denial(
    shared_samples: Samples, asked: Ask, semantic: str, expected: list[bool]
) -> None:
    good = {"subject": subject(shared_samples), "action": ACTION, "resource": RESOURCE}
    request = {
        "options": {"evaluations_semantic": semantic},
        "evaluations": [good, {**good, "action": {}}, good],
    }
    told: Any = ask(shared_samples, asked, request, EVALUATIONS).json
    assert [each["decision"] for each in told["evaluations"]] == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "alice"},
        {"context": []},
        {"action": 1},
        {"evaluations": [{}, 1]},
        {"evaluations": [{}, None]},
    ],
)
def test_what_concerns_all_of_several_is_400(
    shared_samples: Samples, asked: Ask, wrong: dict[str, Any]
) -> None:
    request = {"subject": subject(shared_samples), "action": ACTION, "resource": RESOURCE}
    several = {**request, "evaluations": [request, request]}
    assert ask(shared_samples, asked, several | {"context": None}, EVALUATIONS).status == 200
    assert ask(shared_samples, asked, several | wrong, EVALUATIONS).status == 400


@pytest.mark.parametrize("body", ["", "[]", "null", '{"subject": 1, "subject": 2}', "\xff"])
def test_what_is_no_object_is_refused(shared_samples: Samples, asked: Ask, body: str) -> None:
    for path in (EVALUATION, EVALUATIONS):
        answer = asked("POST", path, key_of(shared_samples), body.encode("latin-1"))
        assert answer.status == 400


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, [True, False, True]),
        ({}, [True, False, True]),
        ({"evaluations_semantic": "execute_all"}, [True, False, True]),
        ({"evaluations_semantic": "deny_on_first_deny"}, [True, False]),
        ({"evaluations_semantic": "permit_on_first_permit"}, [True]),
    ],
)
def test_several_share_what_they_dont_name(
    shared_samples: Samples, asked: Ask, options: Any, expected: list[bool]
) -> None:
    request = {
        "subject": subject(shared_samples),
        "resource": RESOURCE,
        "action": ACTION,
        "evaluations": [{}, {"action": {"name": "refunds:create"}}, {"context": {}}],
    }
    if options is not None:
        request["options"] = options
    told: Any = ask(shared_samples, asked, request, EVALUATIONS).json
    assert [each["decision"] for each in told["evaluations"]] == expected


def test_without_a_list_it_is_one_evaluation(shared_samples: Samples, asked: Ask) -> None:
    request = {"subject": subject(shared_samples), "action": ACTION, "resource": RESOURCE}
    singly = ask(shared_samples, asked, request).json
    for more in ({}, {"evaluations": []}):
        assert ask(shared_samples, asked, request | more, EVALUATIONS).json == singly
    for wrong in ({"evaluations": {}}, {"evaluations": [1]}, {"evaluations": [{}] * (MOST + 1)}):
        assert ask(shared_samples, asked, request | wrong, EVALUATIONS).status == 400
    wrong = {"evaluations": [{}], "options": {"evaluations_semantic": "all"}}
    assert ask(shared_samples, asked, request | wrong, EVALUATIONS).status == 400


def test_the_requests_id_is_repeated(shared_samples: Samples, asked: Ask) -> None:
    request = {"subject": subject(shared_samples), "action": ACTION, "resource": RESOURCE}
    body = json.dumps(request).encode()
    headers = [*key_of(shared_samples), ("X-Request-ID", "bfe9eb29-ab87-4ca3-be83-a1d5d8305716")]
    answer = asked("POST", EVALUATION, headers, body)
    assert answer.header("x-request-id") == "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    for odd in ([], [("X-Request-ID", "a b")], [("X-Request-ID", "x" * 201)]):
        answer = asked("POST", EVALUATION, [*key_of(shared_samples), *odd], body)
        assert answer.status == 200
        assert answer.header("x-request-id") is None


def test_it_needs_a_verifier_key(shared_samples: Samples, asked: Ask) -> None:
    for path in (EVALUATION, EVALUATIONS):
        assert asked("POST", path, [], b"{}").status == 401
