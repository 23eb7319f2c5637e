"""Problem documents: one format for refusals, errors and unknown paths."""

import httpx
import pytest

from gatepass.core.decision import STATUS, Call, Decision, Reason
from gatepass.core.errors import (
    Conflict,
    Forbidden,
    GatepassError,
    InvalidInput,
    Misconfigured,
    NotConfirmed,
    NotFound,
    SignInFailed,
    TooManyAttempts,
    Unavailable,
)
from gatepass.web.problems import Problem, problem_of_decision, problem_of_error, problem_of_status
from gatepass.web.strict_json import BrokenJSON
from tests.support.apps.installation import Installation


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (BrokenJSON("x"), 400, "bad_request"),
        (InvalidInput([("label", "x")]), 422, "invalid"),
        (Forbidden("x", permission="audit:get"), 403, "permission_missing"),
        (Forbidden("x", reason="signed_in_user_required"), 403, "signed_in_user_required"),
        (Forbidden("x", reason="token_deactivated"), 401, "token_deactivated"),
        (NotFound("x"), 404, "not_found"),
        (Conflict("x", reason="changed_meanwhile"), 409, "changed_meanwhile"),
        (SignInFailed(), 401, "sign_in_failed"),
        (TooManyAttempts(7), 429, "too_many_attempts"),
        (Unavailable("x", reason="stale"), 503, "stale"),
        (Misconfigured("/etc/secret"), 500, "internal_error"),
        (GatepassError("secret"), 500, "internal_error"),
    ],
)
def test_each_error_has_its_status(error: GatepassError, status: int, reason: str) -> None:
    problem = problem_of_error(error)
    assert (problem.status, problem.reason) == (status, reason)
    assert "secret" not in problem.detail


def test_a_document_has_the_members_of_rfc_9457_and_ours() -> None:
    problem = Problem(409, "changed_meanwhile", "So it is.", current={"id": "x"})
    assert problem.document() == {
        "type": "urn:gatepass:problem:changed_meanwhile",
        "title": "Changed meanwhile",
        "status": 409,
        "detail": "So it is.",
        "reason": "changed_meanwhile",
        "current": {"id": "x"},
    }


def test_unpaired_surrogates_are_replaced() -> None:
    assert b"?" in Problem(422, "invalid", "x", errors=[("\ud800", "x")]).body()


def test_retry_after_is_absent_if_the_change_may_be_committed() -> None:
    def retry(error: GatepassError) -> str | None:
        return dict(problem_of_error(error).headers()).get("retry-after")

    assert retry(TooManyAttempts(7)) == "7"
    assert retry(Unavailable("x", reason="stale")) == "1"
    assert retry(Unavailable("x", reason="outcome_unknown")) is None
    assert retry(NotConfirmed()) is None
    assert retry(NotFound("x")) is None


@pytest.mark.parametrize("reason", [r for r in Reason if r is not Reason.allowed])
def test_every_reason_has_a_sentence_and_401s_a_challenge(reason: Reason) -> None:
    call = Call(Reason.token_missing, "charges:get")
    problem = problem_of_decision(Decision(reason, None, frozenset(), call))
    assert (problem.status, problem.reason) == (STATUS[reason], reason.value)
    assert problem.detail.endswith(".")
    assert ("charges:get" in problem.detail) is (reason is Reason.permission_missing)
    challenge = dict(problem.headers()).get("www-authenticate")
    if problem.status == 401:
        assert challenge is not None
        assert ("error=" in challenge) is (reason is not Reason.token_missing)
    else:
        assert (challenge is not None) is (reason is Reason.permission_missing)


def test_every_status_has_a_reason() -> None:
    for status in (400, 404, 405, 410, 413, 414, 415, 418, 431, 500, 501, 503):
        assert problem_of_status(status).reason.replace("_", "").replace("-", "").isalpha()


@pytest.mark.parametrize(
    "path",
    [
        *("/v1", "/v1/", "/v1/nope", "/v1/me/", "/v1//me", "/v1/access-tokens/", "/nope", "/V1/me"),
        # A proxy may deny a path by its plain spelling, so no other spelling answers.
        *("/v1/%6de", "/v1/m%65", "/%76%31/me", "/v1%2Fme", "/v1/acce%73s-tokens", "/v1/%2e/me"),
        *("/metric%73", "/%6detrics", "/v1%2ffeed", "/v1/fee%64", "/v1/openapi%2Ejson"),
    ],
)
def test_an_unknown_path_is_a_404_document(installation: Installation, path: str) -> None:
    answer = installation.client().get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["reason"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/access-tokens", "GET, HEAD, POST"),
        ("PUT", "/v1/access-tokens/gpat_0", "GET, HEAD, PATCH"),
        ("GET", "/v1/sign-out", "POST"),
        ("HEAD", "/v1/sign-out", "POST"),
        ("OPTIONS", "/v1/me", "GET, HEAD"),
        ("TRACE", "/v1/me", "GET, HEAD"),
        ("NONSENSE", "/v1/me", "GET, HEAD"),
        ("GET", "/v1/verify", "POST"),
        ("POST", "/health/live", "GET, HEAD"),
        ("POST", "/v1/openapi.json", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_with_the_allowed_ones(
    installation: Installation, method: str, path: str, allow: str
) -> None:
    answer = installation.client().request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allow
    assert answer.headers["content-type"] == "application/problem+json"
    if method != "HEAD":
        assert answer.json()["reason"] == "method_not_allowed"


def test_a_browser_gets_a_404_page(installation: Installation) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml"}
    page = installation.client().get("/nope", headers=browser)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "content-security-policy" in page.headers
    program = installation.client().get("/v1/nope", headers=browser)
    assert program.headers["content-type"] == "application/problem+json"


def test_an_outage_is_503_with_retry_after(
    installation: Installation, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:

    def out(now: int) -> None:
        raise Unavailable("The database can't be used right now.")

    monkeypatch.setattr(installation.node.database, "write", out)
    answer = ada.post("/v1/sign-out")
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
