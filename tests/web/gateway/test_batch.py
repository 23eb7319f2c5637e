"""``POST /v1/verify/batch``: many questions in one request."""

import json
from typing import Any

import pytest

from gatepass.web.gateway.verification import BATCH, MOST_CALLS, VERIFY
from tests.support.apps.answer import Answer
from tests.support.apps.gateway_clients import Ask
from tests.support.grants.grant_fixtures import Samples
from tests.web.gateway.test_verify import GET, INVALID, KEYS, TABLE, body_of, key_of


def batch(shared_samples: Samples, asked: Ask, calls: Any) -> Answer:
    body = json.dumps({"calls": calls}).encode()
    return asked("POST", BATCH, key_of(shared_samples), body)


def test_a_batch_is_the_decisions_of_its_calls_in_order(
    shared_samples: Samples, asked: Ask
) -> None:
    calls = [
        json.loads(body_of(shared_samples, question))
        for _, question, _ in TABLE
        if len(str(question)) < 1_000
    ]
    assert len(calls) > 40
    for _ in range(2):
        answer = batch(shared_samples, asked, calls)
        assert answer.status == 200
        assert answer.header("content-type") == "application/json"
        assert answer.header("cache-control") == "no-store"
        assert list(answer.json) == ["decisions"]
        decisions: Any = answer.json["decisions"]
        singly = [
            asked("POST", VERIFY, key_of(shared_samples), json.dumps(call).encode()).json
            for call in calls
        ]
        assert decisions == singly


@pytest.mark.parametrize(("number", "status"), [(0, 200), (1, 200), (100, 200), (101, 422)])
def test_a_batch_has_at_most_a_hundred_calls(
    shared_samples: Samples, asked: Ask, number: int, status: int
) -> None:
    assert MOST_CALLS == 100
    answer = batch(shared_samples, asked, [{"token": "x", **GET}] * number)
    assert answer.status == status
    if status == 200:
        decisions: Any = answer.json["decisions"]
        assert [each["reason"] for each in decisions] == ["token_invalid"] * number
    else:
        errors: Any = answer.json["errors"]
        assert [error["field"] for error in errors] == ["calls"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [pytest.param(*case[1:], id=case[0]) for case in INVALID if case[1].startswith("{")],
)
def test_one_invalid_call_makes_the_batch_422(
    shared_samples: Samples, asked: Ask, body: str, fields: set[str]
) -> None:
    """Its fields are named by the call's number, from 0; nothing is decided."""
    good = json.dumps({"token": shared_samples.texts["good"], **GET})
    sent = f'{{"calls": [{good}, {good}, {good}, {body}]}}'.encode()
    answer = asked("POST", BATCH, key_of(shared_samples), sent)
    assert answer.status == 422
    errors: Any = answer.json["errors"]
    named = {error["field"] for error in errors}
    # Faults of the JSON itself have no call.
    assert named in ({f"calls.3.{field}" for field in fields}, fields)
    if not fields & {"body"} and "twice" not in body:
        assert "decisions" not in answer.json


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("[]", "body"),
        ("1", "body"),
        ("{}", "calls"),
        ('{"calls": null}', "calls"),
        ('{"calls": {}}', "calls"),
        ('{"calls": "x"}', "calls"),
        ('{"calls": [1]}', "calls.0"),
        ('{"calls": [null]}', "calls.0"),
        ('{"calls": [[]]}', "calls.0"),
        ('{"calls": [{}]}', "calls.0.permission"),
        ('{"calls": [], "call": []}', "call"),
        ('{"calls": [], "token": "x"}', "token"),
    ],
)
def test_another_shape_is_422(shared_samples: Samples, asked: Ask, body: str, field: str) -> None:
    answer = asked("POST", BATCH, key_of(shared_samples), body.encode())
    assert answer.status == 422
    errors: Any = answer.json["errors"]
    assert field in {error["field"] for error in errors}


def test_the_errors_of_a_batch_are_truncated(shared_samples: Samples, asked: Ask) -> None:
    call = {f"unknown{n}": n for n in range(300)}
    answer = batch(shared_samples, asked, [call] * 100)
    assert answer.status == 422
    assert len(answer.body) < 20_000


@pytest.mark.parametrize(("name", "reason"), [pytest.param(*case[1:], id=case[0]) for case in KEYS])
def test_a_batch_needs_a_verifier_key(
    shared_samples: Samples, asked: Ask, name: str | None, reason: str
) -> None:
    headers = [] if name is None else key_of(shared_samples, name)
    answer = asked("POST", BATCH, headers, b'{"calls": []}')
    assert (answer.status, answer.json["reason"]) == (401, reason)
