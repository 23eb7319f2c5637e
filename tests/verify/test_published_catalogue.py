"""Decisions by the installation's catalogue, while it changes."""

from typing import Any

import pytest
from msgspec.structs import replace

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Unavailable
from gatepass.core.published_catalogue import CONTENTS_ID, records
from gatepass.core.reason import Reason
from gatepass.core.routes import RequestLine
from gatepass.verify.decider import Decider
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import CATALOGUE, Clocks, Samples
from tests.support.waiting import until

# GET /v1/charges/report needs charges:get by the first, and reports:get by the second.
BEFORE = parse_catalogue(CATALOGUE)
AFTER = parse_catalogue(
    """
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get: {title: "See a charge", routes: ["GET /v1/charges/{id}"]}
  reports:get: {title: "See the report", routes: ["GET /v1/charges/report"]}
"""
)
# GET /v1/charges/{id} needs another permission.
WITHOUT = parse_catalogue(
    """
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get: {title: "See a charge", routes: []}
  reports:get: {title: "See the report", routes: ["GET /v1/charges/{id}"]}
"""
)
REPORT: dict[str, Any] = {"method": "GET", "path": "/v1/charges/report"}


@pytest.fixture
def verifier(samples: Samples, clocks: Clocks) -> Verifier:
    samples.put(*records(BEFORE))
    return samples.verifier(clocks.clock(), published=True)


def reason(verifier: Decider, text: str) -> Reason:
    return verifier.check(text, **REPORT).reason


def test_nothing_that_the_former_one_allowed_is_remembered(
    verifier: Verifier, samples: Samples
) -> None:
    text = samples.texts["good"]
    for _ in range(3):
        assert reason(verifier, text) is Reason.allowed
    samples.put(*records(AFTER))
    assert reason(verifier, text) is Reason.permission_missing
    samples.put(*records(BEFORE))
    assert reason(verifier, text) is Reason.allowed


def test_a_watched_call_ends_by_another_catalogue(verifier: Verifier, samples: Samples) -> None:
    """But not one on a route of an application's own."""
    told: list[str] = []
    other: list[str] = []
    samples.put(*records(AFTER))
    text = samples.texts["good"]
    decision = verifier.check(text, method="GET", path="/v1/charges/1")
    own, _ = verifier.judge(text, route=BEFORE.routes.match("GET", "/v1/charges/1"))
    verifier.watch(decision, told.append)
    verifier.watch(own, other.append)
    samples.put(*records(WITHOUT))
    until(lambda: told)
    assert (told, other) == (["permission_missing"], [])


def test_a_catalogue_that_changes_between_the_match_and_the_decision_counts(
    verifier: Verifier, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the remembered answer was made with the former routes."""
    text = samples.texts["good"]
    assert reason(verifier, text) is Reason.allowed
    recall = verifier.remembered.recall

    def commit_meanwhile(key: bytes) -> Any:
        found = recall(key)
        samples.put(*records(AFTER))
        return found

    samples.put(samples.grants["good"])
    monkeypatch.setattr(verifier.remembered, "recall", commit_meanwhile)
    assert reason(verifier, text) is Reason.permission_missing
    monkeypatch.undo()
    # An equal key with the former routes is not answered by a decision of the new ones.
    assert reason(verifier, text) is Reason.permission_missing
    other = verifier.check(text, method="GET", path="/v1/charges/1")
    assert other.reason is Reason.allowed


def test_an_answer_by_new_routes_is_not_remembered_for_a_key_with_former_ones(
    verifier: Verifier, samples: Samples
) -> None:
    """By the former routes both paths are GET /v1/charges/{id}; by the new one they differ."""
    text = samples.texts["good"]
    routes = verifier.routes
    samples.put(*records(AFTER))
    decision, known = verifier.judge(text, None, RequestLine("GET", "/v1/charges/1"))
    assert decision.allowed
    verifier.remembered.remember(b"k" * 64, decision, known, decision, 0, routes)
    assert verifier.remembered.recall(b"k" * 64) is None
    verifier.remembered.remember(b"k" * 64, decision, known, decision, 0, verifier.routes)
    assert verifier.remembered.recall(b"k" * 64) is decision


def test_rows_that_stay_do_not_carry_a_decision_into_the_new_span(
    verifier: Verifier, samples: Samples
) -> None:
    """Another thread may read the token again before the first has remembered its answer."""
    text = samples.texts["good"]
    line = RequestLine("GET", "/v1/charges/report")
    decision, known = verifier.judge(text, None, line)
    assert decision.allowed
    samples.put(*records(AFTER))
    assert not verifier.judge(text, None, line)[0].allowed
    verifier.remembered.remember(b"k" * 64, decision, known, decision, 0)
    assert verifier.remembered.recall(b"k" * 64) is None


def test_the_routes_are_an_applications_own_until_the_file_has_some(
    samples: Samples, clocks: Clocks
) -> None:
    text = samples.texts["good"]
    own = samples.verifier(clocks.clock())
    first = samples.verifier(clocks.clock(), published=True)
    assert reason(own, text) is reason(first, text) is Reason.allowed
    assert first.catalogue() is None
    samples.put(*records(AFTER))
    assert reason(own, text) is Reason.allowed
    assert reason(first, text) is Reason.permission_missing
    found = first.catalogue()
    assert found is not None
    assert found.contents == AFTER.contents


@pytest.mark.parametrize(
    "contents", [None, "[]", '{"entries":[{"name":"a:b","title":"","routes":["x"]}]}']
)
def test_a_damaged_catalogue_allows_nothing(
    verifier: Verifier, samples: Samples, contents: str | None
) -> None:
    digest, whole = records(AFTER)
    if contents is None:
        samples.connection.execute("DELETE FROM grants WHERE id = ?", (CONTENTS_ID,))
        samples.put(digest)
    else:
        samples.put(digest, replace(whole, label=contents))
    with pytest.raises(Unavailable):
        verifier.check(samples.texts["good"], **REPORT)
    assert verifier.not_ready() == "the grant file can't be read"


def test_a_call_that_goes_on_ends_when_its_route_needs_another_permission(
    verifier: Verifier, samples: Samples
) -> None:
    text = samples.texts["good"]
    told: list[tuple[str, str]] = []
    # The answer to the first is the remembered one of the others.
    for path in ("/v1/charges/1", REPORT["path"], "/v1/charges/2"):
        decision = verifier.check(text, method="GET", path=path)
        assert decision.allowed
        verifier.watch(decision, lambda reason, path=path: told.append((path, reason)))
    samples.put(*records(AFTER))
    until(lambda: told)
    assert told == [(REPORT["path"], "permission_missing")]
