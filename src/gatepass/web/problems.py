"""Problem documents (RFC 9457) and the one table from refusals and errors to HTTP.

No framework is imported here: the verify processes, which load none, answer with the same
documents.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from gatepass.core.decision import Decision
from gatepass.core.errors import (
    BrokenLink,
    Conflict,
    Forbidden,
    GatepassError,
    InvalidInput,
    NotConfirmed,
    NotFound,
    SignInFailed,
    TooManyAttempts,
    Unavailable,
)
from gatepass.verify.http.refusals import SENTENCES as REFUSALS
from gatepass.verify.http.refusals import TOKEN_AT_FAULT, scope_of, sentence, www_authenticate
from gatepass.web.strict_json import BrokenJSON

MEDIA_TYPE = "application/problem+json"


# The first class an error is an instance of decides; what isn't named is a fault of ours: 500.
STATUS_OF: tuple[tuple[type[GatepassError], int], ...] = (
    (BrokenJSON, 400),
    (InvalidInput, 422),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (BrokenLink, 410),
    (SignInFailed, 401),
    (TooManyAttempts, 429),
    (Unavailable, 503),
    (NotConfirmed, 503),
)

# One sentence for a person per reason.
SENTENCES: dict[str, str] = {
    **REFUSALS,
    "bad_request": "The request can't be read.",
    "invalid": "What was sent can't be accepted as it stands.",
    "not_found": "There is nothing here.",
    "method_not_allowed": "This address doesn't answer that method.",
    "body_too_large": "The body must be at most 1 MiB; 16 KiB without a credential, 4 KiB to sign "
    "in.",
    "request_timeout": "The body must be complete within 15 seconds.",
    "unsupported_media_type": "The body must be application/json.",
    "internal_error": "Something went wrong on our side. It has been logged.",
    "unavailable": "This can't be answered right now.",
}

# Faults of a request that HTTP itself has a word for.
_REASON_OF_STATUS: dict[int, str] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid",
    500: "internal_error",
    503: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal or error, ready to be sent.

    Attributes:
        status: the HTTP status.
        reason: the stable machine-readable word.
        detail: one sentence for a person, without secrets.
        errors: (field, message) pairs, for 422.
        current: the record as it is now, for 409 ``changed_meanwhile`` and 503 ``not_confirmed``.
        scope: for 403 ``permission_missing``, the permission that is needed, where one is.
        more_headers: what belongs to this answer alone: ``Allow``, ``Retry-After``.
    """

    status: int
    reason: str
    detail: str
    errors: Sequence[tuple[str, str]] = ()
    current: Mapping[str, Any] | None = None
    scope: str | None = None
    more_headers: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        return self.reason.replace("_", " ").capitalize()

    def document(self) -> dict[str, Any]:
        """The members of the document, in the order in which they are sent."""
        members: dict[str, Any] = {
            "type": f"urn:gatepass:problem:{self.reason}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        if self.errors:
            members["errors"] = [{"field": f, "message": m} for f, m in self.errors]
        if self.current is not None:
            members["current"] = self.current
        return members

    def body(self) -> bytes:
        # Field names repeat what a stranger sent; "replace" keeps half a surrogate pair from
        # turning a refusal into a crash.
        return json.dumps(self.document(), ensure_ascii=False).encode("utf-8", "replace")

    def headers(self) -> list[tuple[str, str]]:
        """All headers but the length."""
        headers = [
            ("content-type", MEDIA_TYPE),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ]
        challenge = www_authenticate(self.status, self.reason, self.scope)
        if challenge is not None:
            headers.append(("www-authenticate", challenge))
        return [*headers, *self.more_headers]


def problem_of_decision(decision: Decision) -> Problem:
    """The problem for a call that was refused."""
    scope = scope_of(decision)
    return Problem(decision.status, decision.reason.value, sentence(decision), scope=scope)


def problem_of_reason(status: int, reason: str) -> Problem:
    """The problem for a reason that is known by its word alone, such as a verifier key's."""
    return Problem(status, reason, SENTENCES.get(reason, HTTPStatus(status).phrase + "."))


def problem_of_status(status: int, more_headers: tuple[tuple[str, str], ...] = ()) -> Problem:
    """The problem for a fault that HTTP has a status for: 404, 405, 413 and their like."""
    reason = _REASON_OF_STATUS.get(status)
    if reason is None:
        reason = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", "")
    detail = SENTENCES.get(reason, HTTPStatus(status).phrase + ".")
    return Problem(status, reason, detail, more_headers=more_headers)


def problem_of_error(error: GatepassError) -> Problem:
    """The problem for an exception of ours. What has no row in the table is told nothing about."""
    status = next((code for kind, code in STATUS_OF if isinstance(error, kind)), None)
    if status is None:
        return problem_of_status(500)
    if isinstance(error, InvalidInput):
        detail = SENTENCES["invalid"]
        if error.left_out:
            detail += f" The first {len(error.errors)} errors are listed."
        return Problem(status, error.reason, detail, errors=error.errors)
    if isinstance(error, Forbidden):
        # A credential that ended between its admission and its turn to change something.
        if error.reason in TOKEN_AT_FAULT:
            status = 401
        return Problem(status, error.reason, error.message, scope=error.permission)
    if isinstance(error, Conflict | NotConfirmed):
        current = error.current if isinstance(error.current, Mapping) else None
        return Problem(status, error.reason, error.message, current=current)
    return Problem(status, error.reason, error.message, more_headers=_retry_after(error))


def _retry_after(error: GatepassError) -> tuple[tuple[str, str], ...]:
    if isinstance(error, TooManyAttempts):
        return (("retry-after", str(error.retry_after)),)
    # What may have been done already must not be repeated unseen.
    if isinstance(error, Unavailable) and error.reason != "outcome_unknown":
        return (("retry-after", "1"),)
    return ()
