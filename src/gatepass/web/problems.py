"""Problem documents (RFC 9457), and the one table from decisions and errors to HTTP statuses.

This module imports no framework: the verify workers, which load none, send the same documents.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from gatepass.core.decision import Decision
from gatepass.core.errors import (
    BrokenLink,
    Busy,
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


# The first class that an error is an instance of gives the status; any other error is a 500.
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
    "invalid": "Some fields or parameters aren't valid.",
    "not_found": "There is nothing here.",
    "method_not_allowed": "This address doesn't support that method.",
    "body_too_large": "The body must be at most 1 MiB; 16 KiB without a credential, 4 KiB to sign "
    "in.",
    "request_timeout": "The body must be complete within 15 seconds.",
    "unsupported_media_type": "The body must be application/json.",
    "internal_error": "Something went wrong on our side. It has been logged.",
    "unavailable": "Gatepass can't answer this right now.",
}

# Reasons of faults that HTTP has a status for.
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
    """A refusal or error as an HTTP answer.

    Attributes:
        status: the HTTP status.
        reason: the stable machine-readable word.
        detail: one sentence for a person, without secrets.
        errors: (field, message) pairs, for 422 and 409 ``role_too_small``.
        current: the current record, for 409 ``changed_meanwhile`` and 503 ``not_confirmed``.
        scope: the missing permission, for 403 ``permission_missing``, if there is just one.
        more_headers: headers of this answer alone: ``Allow``, ``Retry-After``.
        way_out: members of a refusal that say what would allow the call (``refusals.way_out``).
    """

    status: int
    reason: str
    detail: str
    errors: Sequence[tuple[str, str]] = ()
    current: Mapping[str, Any] | None = None
    scope: str | None = None
    more_headers: tuple[tuple[str, str], ...] = ()
    way_out: Mapping[str, Any] = field(default_factory=dict)

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
        if self.reason == "invalid_request":
            # The name of the same in OAuth (RFC 6749, 5.2).
            members["error"] = self.reason
        if self.errors:
            members["errors"] = [{"field": f, "message": m} for f, m in self.errors]
        if self.current is not None:
            members["current"] = self.current
        return {**members, **self.way_out}

    def body(self) -> bytes:
        # Field names repeat a stranger's text; "replace" keeps an unpaired surrogate from turning
        # a refusal into a crash.
        return json.dumps(self.document(), ensure_ascii=False).encode("utf-8", "replace")

    def headers(self) -> list[tuple[str, str]]:
        """All headers except Content-Length."""
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
    """The problem for a refused call."""
    scope = scope_of(decision)
    return Problem(decision.status, decision.reason.value, sentence(decision), scope=scope)


def problem_of_reason(status: int, reason: str) -> Problem:
    """The problem for a reason without a decision, such as a verifier key's."""
    return Problem(status, reason, SENTENCES.get(reason, HTTPStatus(status).phrase + "."))


def problem_of_status(status: int, more_headers: tuple[tuple[str, str], ...] = ()) -> Problem:
    """The problem for a fault that HTTP has a status for, such as 404, 405 or 413."""
    reason = _REASON_OF_STATUS.get(status)
    if reason is None:
        reason = HTTPStatus(status).phrase.lower().replace(" ", "_").replace("'", "")
    detail = SENTENCES.get(reason, HTTPStatus(status).phrase + ".")
    return Problem(status, reason, detail, more_headers=more_headers)


def problem_of_error(error: GatepassError) -> Problem:
    """The problem for an exception of ours: a 500 without details if the table lacks its class."""
    status = next((code for kind, code in STATUS_OF if isinstance(error, kind)), None)
    if status is None:
        return problem_of_status(500)
    if isinstance(error, InvalidInput):
        detail = SENTENCES["invalid"]
        if error.left_out:
            detail += f" The first {len(error.errors)} errors are listed."
        return Problem(status, error.reason, detail, errors=error.errors)
    if isinstance(error, Forbidden):
        # The credential was revoked or expired between its admission and the re-check under the
        # lock.
        if error.reason in TOKEN_AT_FAULT:
            status = 401
        return Problem(status, error.reason, error.message, scope=error.permission)
    if isinstance(error, Conflict | NotConfirmed):
        current = error.current if isinstance(error.current, Mapping) else None
        errors = error.errors if isinstance(error, Conflict) else ()
        return Problem(status, error.reason, error.message, errors=errors, current=current)
    return Problem(status, error.reason, error.message, more_headers=_retry_after(error))


def _retry_after(error: GatepassError) -> tuple[tuple[str, str], ...]:
    if isinstance(error, TooManyAttempts | Busy):
        return (("retry-after", str(error.retry_after)),)
    # A change that may have been committed must not be retried blindly.
    if isinstance(error, Unavailable) and error.reason != "outcome_unknown":
        return (("retry-after", "1"),)
    return ()
