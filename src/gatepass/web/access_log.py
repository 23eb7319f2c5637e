"""The access log: a line for each request, if ACCESS_LOG is on.

It names tokens by their ids. A path that contains a credential's text, such as a link in a mail, is
logged with the id in its place, and a segment that may be an imported key without its end; query
strings, which may contain what people search for, never are.
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.core.credentials import PREFIXES
from gatepass.verify.http.header_lines import Lines, asgi_lines

#: Under this key of a request's scope stands what the log and a span say of it.
TOLD: Final = "gatepass.told"

_LONGEST_PATH = 500
_credential = re.compile(rf"((?:{'|'.join(PREFIXES)})_[0-9A-Za-z]{{16}})[0-9A-Za-z]+", re.ASCII)
# An imported key has at least 32 characters, hardly ever lower-case letters alone. UUIDs, which ids
# of others often are, are shown.
_uuid = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?:/|\Z)"
_long = re.compile(rf"(?<=/)(?=[^/]*[0-9A-Z])(?!{_uuid})([^/]{{8}})[^/]{{24,}}")
_request_id = re.compile(r"[!-~]{1,200}", re.ASCII).fullmatch
#: The trace's id of a W3C ``traceparent``. Version 00 has nothing behind the flags, later ones may.
_trace = re.compile(
    r"(?!ff|00.{53}.)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
).fullmatch

_log = logging.getLogger("gatepass.access")


@dataclass(frozen=True, slots=True)
class Request:
    """One request and its answer.

    Attributes:
        address: the client's, as decisions take it; None if it isn't known.
        request_id: the client's own, or one made here.
        trace: the id of the trace it belongs to, if any.
        token: the id of the credential that was decided on, if its secret matched.
        reason: of the decision, if there was one.
    """

    method: str
    path: str
    status: int
    duration_ms: float
    address: str | None
    request_id: str
    trace: str | None
    token: str | None
    reason: str | None


def note(request: Request) -> None:
    """Log a request."""
    # Of a request that can't be read perhaps neither is known.
    named = {"path": shown(request.path) or "-", "method": shown(request.method) or "-"}
    fields = asdict(request) | named
    said = " ".join(
        f"{name}={value}"
        for name, value in fields.items()
        if value is not None and name not in ("method", "path", "status", "duration_ms")
    )
    _log.info(
        "%s %s %d %.1f ms %s",
        *(fields["method"], fields["path"], request.status, request.duration_ms, said),
        extra={"fields": fields},
    )


def shown(path: str) -> str:
    """A path without secrets and controls."""
    path = _credential.sub(r"\1…", path[: _LONGEST_PATH + 100])
    path = _long.sub(r"\1…", path)[:_LONGEST_PATH]
    return "".join(sign if sign.isprintable() and sign != " " else "?" for sign in path)


def request_id(lines: Lines) -> str:
    """The X-Request-ID of a request, or a new one."""
    found = lines("x-request-id")
    if len(found) == 1 and found[0] is not None and _request_id(found[0]):
        return found[0]
    return secrets.token_hex(8)


def trace(lines: Lines) -> str | None:
    """The id of the trace that a request belongs to (W3C Trace Context)."""
    found = lines("traceparent")
    read = _trace(found[0]) if len(found) == 1 and found[0] is not None else None
    return None if read is None else read[1]


def told(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> tuple[str | None, str | None]:
    """The token's id and the reason that an answer of the data plane tells."""
    found = dict(headers)
    token, reason = found.get(b"x-gatepass-token"), found.get(b"x-gatepass-reason")
    if token is not None or reason is not None:
        return _text(token), _text(reason) or "allowed"
    if b"json" not in found.get(b"content-type", b""):
        return None, None
    try:
        answer: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None, None
    if not isinstance(answer, dict):
        return None, None
    grant, reason = answer.get("grant"), answer.get("reason")
    # A record of the REST API may have members of these names, too.
    return grant.get("id") if isinstance(grant, dict) else None, reason


class AccessLog:
    """Logs the requests of an ASGI application, and names their ids in the answers.

    Args:
        address: returns the client's address of a request.
    """

    def __init__(self, app: ASGIApp, address: Callable[[Scope], str | None]) -> None:
        self._app = app
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        lines = asgi_lines(scope)
        id = request_id(lines)
        of_caller: dict[str, str | None] = {}
        scope = {**scope, TOLD: of_caller}
        start: Message = {"status": 500, "headers": []}
        first = b""

        async def noting(message: Message) -> None:
            nonlocal start, first
            if message["type"] == "http.response.start":
                start = message
                if all(name.lower() != b"x-request-id" for name, _ in message["headers"]):
                    own = (b"x-request-id", id.encode())
                    message = {**message, "headers": [*message["headers"], own]}
            elif not first:
                first = message.get("body", b"")
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            token, reason = told(start["headers"], first)
            if start["status"] >= 400 and of_caller.get("reason") == "allowed":
                # Admitted, and then refused for what it asks for.
                of_caller["reason"] = reason or "allowed"
            note(
                Request(
                    method=scope["method"],
                    path=scope["path"],
                    status=start["status"],
                    duration_ms=(time.perf_counter() - began) * 1000,
                    address=self._address(scope),
                    request_id=id,
                    trace=of_caller.get("trace") or trace(lines),
                    token=of_caller.get("token", token),
                    reason=of_caller.get("reason", reason),
                )
            )

    def refused(self, scope: Scope, status: int, reason: str) -> tuple[str, str]:
        """Log a request that no application gets, because it can't be read.

        Args:
            scope: what could be read of it.

        Returns:
            The header that names it in the answer.
        """
        lines = asgi_lines(scope)
        id = request_id(lines)
        note(
            Request(
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=0.0,
                address=self._address(scope),
                request_id=id,
                trace=trace(lines),
                token=None,
                reason=reason,
            )
        )
        return "X-Request-ID", id


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii")
