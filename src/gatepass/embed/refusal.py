"""The answer to a refused call: a problem document (RFC 9457)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatepass.core.decision import Decision
from gatepass.core.errors import Unavailable
from gatepass.verify.http.refusals import scope_of, sentence, way_out, www_authenticate

# WebSocket close codes (RFC 6455 section 7.4): policy violation, try again later.
_REFUSED, _TRY_AGAIN_LATER = 1008, 1013


@dataclass(frozen=True)
class Refusal:
    """The answer to a refused call.

    Attributes:
        more: headers of this reason.
        way_out: members of the document besides the usual ones.
    """

    status: int
    reason: str
    detail: str
    more: tuple[tuple[str, str], ...] = field(default=())
    way_out: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_decision(cls, decision: Decision, help: str | None) -> "Refusal":
        """The answer to a call that was denied.

        Args:
            help: as ``Verifier.help`` returned it.
        """
        reason = decision.reason
        challenge = www_authenticate(decision.status, reason, scope_of(decision))
        more = () if challenge is None else (("www-authenticate", challenge),)
        members = way_out(decision.needed, decision.call.address, help)
        return cls(decision.status, reason.value, sentence(decision), more, members)

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
            **self.way_out,
        }
        return json.dumps(document).encode()
