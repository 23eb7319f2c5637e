"""The answer to a refused call: a problem document (RFC 9457)."""

import json
from dataclasses import dataclass, field

from gatepass.core.decision import Decision
from gatepass.core.errors import Unavailable
from gatepass.verify.http.refusals import scope_of, sentence, www_authenticate

# WebSocket close codes (RFC 6455 section 7.4): policy violation, try again later.
_REFUSED, _TRY_AGAIN_LATER = 1008, 1013


@dataclass(frozen=True)
class Refusal:
    """The answer to a refused call.

    Attributes:
        more: headers of this reason.
    """

    status: int
    reason: str
    detail: str
    more: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def of_decision(cls, decision: Decision) -> "Refusal":
        """The answer to a call that was denied."""
        reason = decision.reason
        challenge = www_authenticate(decision.status, reason, scope_of(decision))
        more = () if challenge is None else (("www-authenticate", challenge),)
        return cls(decision.status, reason.value, sentence(decision), more)

    @classmethod
    def of_outage(cls, error: Unavailable) -> "Refusal":
        """The answer while no decision is possible.

        Never "allowed". Without the error's message, which may name files.
        """
        detail = "Whether this is allowed can't be decided right now."
        return cls(503, error.reason, detail, (("retry-after", "1"),))

    @property
    def close_code(self) -> int:
        """The close code for a WebSocket."""
        return _TRY_AGAIN_LATER if self.status == 503 else _REFUSED

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers except the body's length."""
        return [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            *self.more,
        ]

    @property
    def body(self) -> bytes:
        """The problem document as JSON."""
        document = {
            "type": f"urn:gatepass:problem:{self.reason}",
            "title": self.reason.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
        return json.dumps(document).encode()
