"""Authorization endpoints: ``/authz/nginx`` for gateways, ``/v1/verify`` for services, and health.

A plain class that turns a request into a reply, without a framework. The main port puts it in front
of the framework (``asgi``); the verify port serves nothing else (``rsgi``).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec

from gatepass.core.credentials import ID_LENGTH
from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import GatepassError, InvalidInput, Unavailable
from gatepass.core.grants import Grant
from gatepass.core.networks import parse_address
from gatepass.core.permissions import is_permission
from gatepass.verify.decider import CachedToken
from gatepass.verify.http.client_address import TrustedProxies, client_address
from gatepass.verify.http.header_lines import Lines
from gatepass.verify.http.refusals import sentence
from gatepass.verify.http.request_credentials import read_credential, read_origin, read_single
from gatepass.verify.verifier import Verifier
from gatepass.web.body_limits import (
    MOST_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    NextPiece,
    content_length,
    drain,
    read,
)
from gatepass.web.http.answers import CLOSE, header_lines, rest_of
from gatepass.web.http.connection import UNIX_PEER
from gatepass.web.misconfiguration import Fault, Misconfigurations
from gatepass.web.problems import (
    Problem,
    problem_of_decision,
    problem_of_error,
    problem_of_reason,
    problem_of_status,
)
from gatepass.web.strict_json import BrokenJSON, field_name, parse
from gatepass.web.times import format_time
from gatepass.web.unhandled import log_unhandled

GATEWAY = "/authz/nginx"
VERIFY = "/v1/verify"
#: A longer X-Gatepass-Permissions names only the permissions that the call needed: proxies limit
#: header sizes.
LONGEST_PERMISSIONS = 2_000

#: Header lines of an answer in JSON.
JSON: Final = b"content-type: application/json\r\ncache-control: no-store\r\n"
_NOTHING: Final = "-"
_PEERS_KEPT = 4_096
_MOST_ERRORS = 20
_FIELDS = frozenset(("token", "permission", "method", "path", "address", "origin", "referer"))

T = TypeVar("T")


class Reply(msgspec.Struct, gc=False):
    """Status, header lines and body of an answer."""

    status: int
    lines: bytes
    body: bytes = b""
    _rest: bytes | None = None

    @classmethod
    def of(cls, problem: Problem, *more_headers: tuple[str, str]) -> "Reply":
        """A problem document."""
        lines = header_lines([*problem.headers(), *more_headers])
        return cls(problem.status, lines, problem.body())

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header lines as pairs of name and value."""
        pairs = [line.partition(b": ") for line in self.lines.split(b"\r\n")[:-1]]
        return [(name, value) for name, _, value in pairs]

    def rest(self) -> bytes:
        """All of it after the first lines, for ``http.connection``; kept."""
        if self._rest is None:
            self._rest = rest_of(self.status, self.lines, self.body)
        return self._rest

    def closing(self, close: bool) -> "Reply":
        """This reply; with ``Connection: close`` if *close*."""
        return Reply(self.status, self.lines + CLOSE, self.body) if close else self


def refusal(status: int, *more_headers: tuple[str, str]) -> Reply:
    """A problem document for a fault that HTTP has a status for, such as 404."""
    return Reply.of(problem_of_status(status, more_headers))


class _Answer(msgspec.Struct, gc=False):
    """A reply to a gateway.

    Attributes:
        decision, known: what it tells, unless no call was decided.
        fault: the gateway made a mistake that was noted, and must be each time.
    """

    reply: Reply
    decision: Decision | None = None
    known: CachedToken | None = None
    fault: bool = False


class Endpoints:
    """Answers gateways and services.

    Args:
        verifier: makes the decisions.
        trusted: the peers that may ask as a gateway and forward other addresses.
        not_ready: returns why this node isn't ready, or None.
        misconfigurations: counts and logs faults of gateways.
    """

    def __init__(
        self,
        verifier: Verifier,
        trusted: TrustedProxies,
        not_ready: Callable[[], str | None],
        misconfigurations: Misconfigurations | None = None,
    ) -> None:
        self._verifier = verifier
        self._trusted = trusted
        self._not_ready = not_ready
        self._misconfigurations = misconfigurations or Misconfigurations()
        # Bounded; gateways keep their connections, so few addresses are asked about.
        self._peer = lru_cache(_PEERS_KEPT)(partial(_read_peer, trusted))
        self._refusals: dict[tuple[Reason, str], Reply] = {}

    def without_body(self, path: str, method: str) -> Reply | None:
        """Answer a request that needs neither headers nor body; None if *path* isn't ours."""
        if path == VERIFY:
            return refusal(405, ("Allow", "POST"))
        if path in ("/health/live", "/health/ready"):
            if method not in ("GET", "HEAD"):
                return refusal(405, ("Allow", "GET, HEAD"))
            return self.live() if path.endswith("live") else self.ready()
        return refusal(404) if path.startswith("/authz/") else None

    # --- gateways -----------------------------------------------------------------------------

    def trusts(self, peer: str) -> bool:
        """Whether a socket peer may ask as a gateway."""
        return self._peer(peer)[1]

    def gateway(self, peer: str, lines: Lines) -> Reply:
        """Answer nginx's ``auth_request``: 204, 401 or 403; 5xx only without a decision.

        Args:
            peer: the socket peer's address as text, or ``UNIX_PEER``.
            lines: returns the values of a request header by its lower-case name.
        """
        return self._gateway(peer, lines).reply

    def gateway_again(self, peer: str, key: bytes, lines: Callable[[], Lines]) -> Reply:
        """``gateway``, with the answer to an equal request before, if it is still the answer.

        Args:
            key: a digest of everything in the request that the answer depends on, and of *peer*.
        """
        decider = self._verifier
        try:
            reply: Reply | None = decider.recall(key)
        except Unavailable as error:
            return _with_reason(problem_of_error(error))
        if reply is None:
            asked_ms = decider.clock.now()
            answer = self._gateway(peer, lines())
            reply = answer.reply
            if answer.decision is not None and not answer.fault:
                decider.remember(key, answer.decision, answer.known, reply, asked_ms)
        return reply

    def _gateway(self, peer: str, lines: Lines) -> "_Answer":
        try:
            return self._decide(peer, lines)
        except Unavailable as error:
            return _Answer(_with_reason(problem_of_error(error)))
        except Exception as error:
            # An unexpected error is never "allowed".
            log_unhandled(error)
            return _Answer(_with_reason(problem_of_status(500)))

    def _decide(self, peer: str, lines: Lines) -> "_Answer":
        packed, trusted = self._peer(peer)
        if not trusted:
            self._misconfigurations.note(Fault.gateway_untrusted, peer)
            return _Answer(
                _with_reason(
                    Problem(403, "peer_not_trusted", "Only trusted proxies may call this endpoint.")
                )
            )
        # Method and path of the gateway's own subrequest are never used.
        uri, method = lines("x-original-uri"), lines("x-original-method")
        credential = read_credential(lines("authorization"), lines("x-access-token"))
        if credential is Reason.token_missing and _is_handshake(lines, method):
            credential = read_credential((), (), lines("sec-websocket-protocol"))
        address, garbage = client_address(packed, lines("x-forwarded-for"), self._trusted)
        if garbage:
            self._misconfigurations.note(Fault.forwarded_unreadable, peer)
        origin, referer = read_origin(lines, "x-forwarded-host")
        unsent = ""
        if len(uri) != 1 or len(method) != 1 or not uri[0] or not method[0]:
            # Bytes outside ASCII make the path ambiguous; an absent or repeated header is no route.
            garbled = len(uri) == 1 and uri[0] is None and len(method) == 1 and method[0]
            route: str | Reason = Reason.path_ambiguous if garbled else Reason.route_unknown
            unsent = _unsent(uri, method)
            if unsent:
                self._misconfigurations.note(Fault.source_missing, peer, unsent)
        else:
            route = self._verifier.routes.match(method[0], uri[0])
        decision, known = self._verifier.judge(
            credential, None, route, address, origin, referer, garbage
        )
        if known is None or decision.reason is not Reason.allowed:
            reply = self._refusal(decision, unsent)
            return _Answer(reply, decision, known, fault=garbage or bool(unsent))
        permissions = " ".join(decision.effective) or _NOTHING
        if len(permissions) > LONGEST_PERMISSIONS:
            permissions = " ".join(decision.needed)
        return _Answer(Reply(204, _identity(known.grant, permissions)), decision, known)

    def _refusal(self, decision: Decision, unsent: str) -> Reply:
        detail = sentence(decision)
        if unsent and decision.reason is Reason.route_unknown:
            detail = f"The gateway must send {unsent} exactly once."
        reply = self._refusals.get((decision.reason, detail))
        if reply is None:
            reply = _with_reason(replace(problem_of_decision(decision), detail=detail))
            if len(self._refusals) < _PEERS_KEPT:
                self._refusals[decision.reason, detail] = reply
        return reply

    # --- services -----------------------------------------------------------------------------

    async def receive_verify(self, bodies: Bodies, lines: Lines, next_piece: NextPiece) -> Reply:
        """Read the body of ``POST /v1/verify`` and answer it."""
        # The key is checked before the body: without one no body is read or held in memory.
        key_id = self.key_id(lines)
        if isinstance(key_id, Reply):
            return key_id.closing(not await drain(lines, next_piece))
        try:
            with Body(bodies, MOST_BODY_BYTES, bodies.services, key_id) as body:
                announced = content_length(lines("content-length"))
                body.expect(announced)
                content = await read(next_piece, body)
                if announced and announced != len(content):
                    # The body broke off: half a request isn't decided.
                    raise BodyRefused(400)
                return self.verify(lines, content)
        except BodyRefused as refused:
            return refusal(refused.status, *refused.headers).closing(True)

    def key_id(self, lines: Lines) -> str | Reply:
        """The id of the request's verifier key, or its refusal."""
        return _failing_closed(partial(self._key_id, lines))

    def verify(self, lines: Lines, body: bytes) -> Reply:
        """Answer ``POST /v1/verify``: 200 with the decision, if the request has a verifier key.

        Args:
            lines: returns the values of a request header by its lower-case name.
            body: the request's JSON.
        """
        # Checked again: the key may have been revoked while the body arrived.
        key_id = self.key_id(lines)
        return key_id if isinstance(key_id, Reply) else self.verify_again(body)

    def verify_again(self, body: bytes) -> Reply:
        """``verify``, for a request whose key has just been checked; the answer to an equal body
        before, if it is still the answer."""
        return _failing_closed(partial(self._verify, body))

    def _key_id(self, lines: Lines) -> str | Reply:
        credential = read_credential(lines("authorization"), lines("x-access-token"))
        reason = self._verifier.verifier_key(credential)
        if reason is Reason.allowed:
            return credential[:ID_LENGTH]
        return Reply.of(problem_of_reason(401, reason.value))

    def _verify(self, body: bytes) -> Reply:
        if len(body) > MOST_BODY_BYTES:
            return refusal(413)
        decider = self._verifier
        key = blake2b(body, person=b"verify").digest()
        reply: Reply | None = decider.recall(key)
        if reply is not None:
            return reply
        try:
            question = _question(parse(body))
        except BrokenJSON as error:
            return Reply.of(Problem(400, "bad_request", str(error)))
        route: str | Reason | None = None
        if question["method"] is not None:
            route = decider.routes.match(question["method"], question["path"] or "")
        address = question["address"]
        asked_ms = decider.clock.now()
        decision, known = decider.judge(
            question["token"] or Reason.token_missing,
            question["permission"],
            route,
            None if address is None else parse_address(address),
            question["origin"],
            question["referer"],
        )
        reply = Reply(200, JSON, msgspec.json.encode(_verified(decision, known)))
        decider.remember(key, decision, known, reply, asked_ms)
        return reply

    # --- health -------------------------------------------------------------------------------

    def ready(self) -> Reply:
        """200 while this node can make decisions, else 503 with the reason."""
        why = self._not_ready()
        if why is None:
            return Reply(200, JSON, b'{"status":"ready"}')
        return Reply(503, JSON, msgspec.json.encode({"status": "not_ready", "reason": why}))

    def live(self) -> Reply:
        """200."""
        return Reply(200, JSON, b'{"status":"live"}')


def _failing_closed(answer: Callable[[], T]) -> T | Reply:
    """The result of *answer*; a problem document if it raises, 500 for an unexpected error."""
    try:
        return answer()
    except GatepassError as error:
        return Reply.of(problem_of_error(error))
    except Exception as error:
        log_unhandled(error)
        return refusal(500)


def _read_peer(trusted: TrustedProxies, peer: str) -> tuple[bytes | None, bool]:
    """The packed address of a socket peer, None on a Unix socket; and whether it is trusted."""
    if peer == UNIX_PEER:
        return None, trusted.unix
    packed = parse_address(peer)
    # An unknown address is never one that is trusted.
    return packed, packed is not None and trusted.contains(packed)


def _is_handshake(lines: Lines, method: Sequence[str | None]) -> bool:
    """Whether the call is a WebSocket handshake; the gateway forwards it as one or not at all."""
    upgrade = read_single(lines("upgrade"))
    return upgrade is not None and upgrade.lower() == "websocket" and list(method) == ["GET"]


def _unsent(uri: Sequence[str | None], method: Sequence[str | None]) -> str:
    """Names of the headers that the gateway must send exactly once and didn't."""
    sent = (("X-Original-URI", uri), ("X-Original-Method", method))
    return " and ".join(name for name, values in sent if len(values) != 1 or values[0] == "")


def _identity(grant: Grant, permissions: str) -> bytes:
    """The identity headers, all of them: each overwrites one that a client may have sent."""
    return (
        f"x-gatepass-permissions: {permissions}\r\n"
        f"x-gatepass-token: {grant.id}\r\n"
        f"x-gatepass-company: {grant.company or _NOTHING}\r\n"
        f"x-gatepass-user: {grant.user or _NOTHING}\r\n"
        f"x-gatepass-kind: {grant.kind}\r\n"
        "cache-control: no-store\r\n"
    ).encode("ascii")


def _verified(decision: Decision, known: CachedToken | None) -> dict[str, Any]:
    """The body of the answer to ``POST /v1/verify``."""
    answer: dict[str, Any] = {
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "status": decision.status,
    }
    grant = decision.grant
    if grant is not None and known is not None:
        answer["grant"] = {
            "id": grant.id,
            "label": grant.label,
            "kind": grant.kind,
            "company": grant.company,
            "user": grant.user,
            "permissions": list(decision.effective),
            "expires_at": None if grant.expires_at is None else format_time(grant.expires_at),
        }
    return answer


def _question(value: object) -> dict[str, str | None]:
    if not isinstance(value, dict):
        raise InvalidInput([("body", "must be an object")])
    # At most _MOST_ERRORS, because the names are repeated and may take up a megabyte.
    unknown = [name for name in value if name not in _FIELDS][:_MOST_ERRORS]
    errors = [(field_name((name,)), "must be left out: there is no such field") for name in unknown]
    question: dict[str, str | None] = {}
    for name in _FIELDS:
        text = value.get(name)
        if text is not None and not isinstance(text, str):
            errors.append((name, "must be a string"))
            text = None
        question[name] = text
    permission, method, path = question["permission"], question["method"], question["path"]
    if permission is not None and not is_permission(permission):
        errors.append(("permission", "must be a permission such as charges:create"))
    if (method is None) != (path is None):
        errors.append(
            ("path" if path is None else "method", "must be given: method and path go together")
        )
    if permission is None and method is None and path is None:
        errors.append(("permission", "must be given, or method and path"))
    if errors:
        raise InvalidInput(errors)
    return question


def _with_reason(problem: Problem) -> Reply:
    return Reply.of(problem, ("X-Gatepass-Reason", problem.reason))
