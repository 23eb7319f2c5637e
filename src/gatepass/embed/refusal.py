"""A refused call's answer: a problem document (RFC 9457), or a WebSocket handshake turned down."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import Unavailable
from gatepass.verify.refusals import sentence, www_authenticate

_Message = MutableMapping[str, Any]

# WebSocket close codes (RFC 6455 section 7.4): policy violation, try again later.
_REFUSED, _TRY_AGAIN_LATER = 1008, 1013


@dataclass(frozen=True)
class Refusal:
    """What is sent instead of what the application would have."""

    status: int
    reason: str
    detail: str
    headers: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def of_decision(cls, decision: Decision) -> "Refusal":
        """The answer to a call that was denied."""
        reason = decision.reason
        scope = " ".join(decision.needed) if reason is Reason.permission_missing else None
        challenge = www_authenticate(decision.status, reason, scope)
        headers = () if challenge is None else (("www-authenticate", challenge),)
        return cls(decision.status, reason.value, sentence(reason, scope) or reason, headers)

    @classmethod
    def of_outage(cls, error: Unavailable) -> "Refusal":
        """The answer while nothing can be decided. Never "allowed", and never the outage's own
        message, which may name files."""
        detail = "Whether this is allowed can't be decided right now."
        return cls(503, error.reason, detail, (("retry-after", "1"),))

    async def send(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Send it over an HTTP connection or in a WebSocket's handshake."""
        prefix = "http"
        if scope["type"] == "websocket":
            await receive()  # websocket.connect; nothing may be sent before
            if "websocket.http.response" not in (scope.get("extensions") or {}):
                code = _TRY_AGAIN_LATER if self.status == 503 else _REFUSED
                await send({"type": "websocket.close", "code": code, "reason": self.reason})
                return
            prefix = "websocket.http"
        body = json.dumps(self._document()).encode()
        headers = [
            ("content-type", "application/problem+json"),
            ("content-length", str(len(body))),
            ("cache-control", "no-store"),
            *self.headers,
        ]
        await send(
            {
                "type": f"{prefix}.response.start",
                "status": self.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers],
            }
        )
        await send({"type": f"{prefix}.response.body", "body": body})

    def _document(self) -> dict[str, object]:
        return {
            "type": f"urn:gatepass:problem:{self.reason}",
            "title": self.reason.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        }
