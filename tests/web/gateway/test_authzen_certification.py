"""The certification scenario of AuthZEN's Authorization API 1.0, on both ports."""

import json
from typing import Any

import pytest

from gatepass.web.gateway.authzen import EVALUATION, EVALUATIONS
from tests.support.apps.answer import Answer
from tests.support.apps.gateway_clients import Ask
from tests.support.apps.installation import Installation, Open
from tests.support.grants.grant_fixtures import Samples
from tests.support.vector_files import cases, load
from tests.web.gateway.test_verify import key_of

FILE = "authzen.yaml"
REQUEST_ID = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"


def body_of(samples: Samples, case: dict[str, Any]) -> bytes:
    """A case's body, with the texts of its subjects."""
    if "body" in case:
        return str(case["body"]).encode()
    text = json.dumps(case["request"])
    for name, sample in load(FILE)["subjects"].items():
        text = text.replace(f'"id": "{name}"', f'"id": "{samples.texts[sample]}"')
    return text.encode()


def ask(samples: Samples, asked: Ask, path: str, case: dict[str, Any]) -> Answer:
    """Send a case's request, and check what holds for every answer."""
    headers = [
        *key_of(samples),
        ("Content-Type", case.get("content_type", "application/json")),
        ("X-Request-ID", REQUEST_ID),
    ]
    answer = asked("POST", path, headers, body_of(samples, case))
    assert answer.status == case.get("status", 200)
    assert answer.header("x-request-id") == REQUEST_ID
    if answer.status == 200:
        assert answer.header("content-type") == "application/json"
    return answer


def is_decision(told: Any) -> bool:
    context = told.get("context", {})
    return isinstance(told["decision"], bool) and isinstance(context, dict)


@pytest.mark.parametrize("case", [*cases(FILE, "basic core"), *cases(FILE, "basic properties")])
def test_basic(shared_samples: Samples, asked: Ask, case: dict[str, Any]) -> None:
    for _ in range(2):
        answer = ask(shared_samples, asked, EVALUATION, case)
        if "decision" in case:
            told: Any = answer.json
            assert is_decision(told)
            assert told["decision"] is case["decision"]


@pytest.mark.parametrize("case", [*cases(FILE, "batch core"), *cases(FILE, "batch properties")])
def test_batch(shared_samples: Samples, asked: Ask, case: dict[str, Any]) -> None:
    answer = ask(shared_samples, asked, EVALUATIONS, case)
    told: Any = answer.json
    if "decision" in case:
        assert is_decision(told)
        assert told["decision"] is case["decision"]
    elif "decisions" in case:
        assert set(told) == {"evaluations"}
        assert all(is_decision(each) for each in told["evaluations"])
        assert [each["decision"] for each in told["evaluations"]] == case["decisions"]


def test_without_a_key_the_requests_id_is_repeated_too(shared_samples: Samples, asked: Ask) -> None:
    for path in (EVALUATION, EVALUATIONS):
        answer = asked("POST", path, [("X-Request-ID", REQUEST_ID)], b"{}")
        assert (answer.status, answer.header("x-request-id")) == (401, REQUEST_ID)
        assert (answer.header("www-authenticate") or "").startswith("Bearer")


@pytest.mark.parametrize("sent", [[], ["application/json; charset=utf-8"], ["Application/JSON"]])
def test_what_counts_as_json(shared_samples: Samples, asked: Ask, sent: list[str]) -> None:
    case = next(each for each in load(FILE)["basic core"] if each["case"] == "2.2.1")
    headers = [*key_of(shared_samples), *(("Content-Type", each) for each in sent)]
    body = body_of(shared_samples, case)
    assert asked("POST", EVALUATION, headers, body).status == 200
    wrong = [*headers, ("Content-Type", "application/x-www-form-urlencoded")]
    assert asked("POST", EVALUATION, wrong, body).status == 400


@pytest.mark.parametrize("public_url", ["https://pdp.example.com", "http://127.0.0.1:8787"])
def test_discovery(open_installation: Open, sqlite_url: str, public_url: str) -> None:
    expected = load(FILE)["discovery"]
    installation = open_installation(sqlite_url, public_url=public_url)
    answer = installation.client().get(expected["path"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    told = answer.json()
    endpoints = {name: public_url + path for name, path in expected["endpoints"].items()}
    assert told == {expected["identifier"]: public_url, **endpoints}
    for path in expected["endpoints"].values():
        assert installation.client(installation.verifier_key()).post(path).status_code == 400


@pytest.mark.parametrize("case", cases(FILE, "search"))
def test_search_is_neither_there_nor_announced(
    installation: Installation, case: dict[str, Any]
) -> None:
    client = installation.client(installation.verifier_key())
    assert client.post(case["path"], json={}).status_code == 404
    told = client.get(load(FILE)["discovery"]["path"]).json()
    assert case["parameter"] not in told
    assert "capabilities" not in told
