"""Authorization endpoints: ``/authz/…`` for gateways, verification for services, and health.

A plain class that turns a request into a reply, without a framework. The main port puts it in front
of the framework (``asgi``); the verify port serves nothing else (``connection``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Final
from urllib.parse import quote

import msgspec

from gatepass.core.credentials import ID_LENGTH
from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import Unavailable
from gatepass.core.grants import Grant, Holder
from gatepass.core.networks import format_address, parse_address
from gatepass.core.routes import RequestLine, Routes
from gatepass.node_counters import NodeCounters
from gatepass.verify.cached_rows import CachedToken
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
from gatepass.web.gateway.durations import AUTHZ, DecisionDurations
from gatepass.web.gateway.introspection import INTROSPECT, bearer_of_basic
from gatepass.web.gateway.reply import JSON, Reply, refusal
from gatepass.web.gateway.services import AUTHZEN, PATHS, Services
from gatepass.web.gateway.sources import NGINX, OwnCall, Source, path_in
from gatepass.web.gateway.verification import failing_closed
from gatepass.web.http.connection import UNIX_PEER
from gatepass.web.misconfiguration import Fault, Misconfigurations
from gatepass.web.problems import (
    Problem,
    problem_of_decision,
    problem_of_error,
    problem_of_reason,
    problem_of_status,
)
from gatepass.web.unhandled import log_unhandled

#: A longer X-Gatepass-Permissions names only the permissions that the call needed: proxies limit
#: header sizes.
LONGEST_PERMISSIONS = 2_000

_NOTHING: Final = "-"
_ADDRESS_REASONS: Final = (Reason.company_address_not_allowed, Reason.address_not_allowed)
_PEERS_KEPT = 4_096
_request_id = re.compile(r"[!-~]{1,200}", re.ASCII).fullmatch


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


class Asker(msgspec.Struct, frozen=True, gc=False):
    """A service whose verifier key is valid.

    Attributes:
        key_id: of its key.
        companies: the ids of those it may ask about; None is all.
    """

    key_id: str
    companies: frozenset[str] | None


class Endpoints:
    """Answers gateways and services.

    Args:
        verifier: makes the decisions.
        trusted: the peers that may ask as a gateway and forward other addresses.
        not_ready: returns why this node isn't ready, or None.
        counters: the node's.
        misconfigurations: counts and logs faults of gateways.
        logged: whether each request is logged (``access_log``).
    """

    def __init__(
        self,
        verifier: Verifier,
        trusted: TrustedProxies,
        not_ready: Callable[[], str | None],
        counters: NodeCounters | None = None,
        misconfigurations: Misconfigurations | None = None,
        *,
        logged: bool = False,
    ) -> None:
        counters = counters or NodeCounters()
        self.verifier = verifier
        self.logged = logged
        self.services = Services(verifier)
        self._trusted = trusted
        self._not_ready = not_ready
        self._durations = DecisionDurations(counters.decision_durations)
        self._misconfigurations = misconfigurations or Misconfigurations(counters.misconfigurations)
        # Bounded; gateways keep their connections, so few addresses are asked about.
        self._peer = lru_cache(_PEERS_KEPT)(partial(_read_peer, trusted))
        self._refusals: dict[tuple[Reason, str], Reply] = {}

    def without_body(self, path: str, method: str) -> Reply | None:
        """Answer a request that needs neither headers nor body; None if *path* isn't ours."""
        if path in PATHS:
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

    def client_of(self, peer: str, lines: Lines) -> str | None:
        """The address of the client for which a socket peer asks; None if it isn't known."""
        address, _ = client_address(self._peer(peer)[0], lines("x-forwarded-for"), self._trusted)
        return None if address is None else format_address(address)

    def gateway(
        self, peer: str, lines: Lines, source: Source = NGINX, own: OwnCall | None = None
    ) -> Reply:
        """Answer a gateway: 204 (or 200), 401 or 403; 5xx only without a decision.

        Args:
            peer: the socket peer's address as text, or ``UNIX_PEER``.
            lines: returns the values of a request header by its lower-case name.
            source: of the endpoint that it asks.
            own: the call that the request is itself about, for a source that reads it.
        """
        began = self._durations.begin()
        answer = self._gateway(peer, lines, source, own)
        if began:
            self._durations.end(AUTHZ, began)
        return answer.reply

    def gateway_again(
        self,
        peer: str,
        key: bytes,
        routes: Routes,
        lines: Callable[[], Lines],
        source: Source = NGINX,
        own: OwnCall | None = None,
    ) -> Reply:
        """``gateway``, with the answer to an equal request before, if it is still the answer.

        Args:
            key: a digest of everything in the request that the answer depends on, and of *peer* and
                *source*.
            routes: those by which *key* names the call's route.
        """
        decider = self.verifier
        began = self._durations.begin()
        try:
            reply: Reply | None = decider.remembered.recall(key)
        except Unavailable as error:
            return _with_reason(problem_of_error(error))
        if reply is None:
            asked_ms = decider.clock.now()
            answer = self._gateway(peer, lines(), source, own)
            reply = answer.reply
            if answer.decision is not None and not answer.fault:
                decider.remembered.remember(
                    key, answer.decision, answer.known, reply, asked_ms, routes
                )
        if began:
            self._durations.end(AUTHZ, began)
        return reply

    def _gateway(self, peer: str, lines: Lines, source: Source, own: OwnCall | None) -> "_Answer":
        try:
            return self._decide(peer, lines, source, own)
        except Unavailable as error:
            return _Answer(_with_reason(problem_of_error(error)))
        except Exception as error:
            # An unexpected error is never "allowed".
            log_unhandled(error)
            return _Answer(_with_reason(problem_of_status(500)))

    def _decide(self, peer: str, lines: Lines, source: Source, own: OwnCall | None) -> "_Answer":
        packed, trusted = self._peer(peer)
        if not trusted:
            self._misconfigurations.note(Fault.gateway_untrusted, source.endpoint, peer)
            return _Answer(
                _with_reason(
                    Problem(403, "peer_not_trusted", "Only trusted proxies may call this endpoint.")
                )
            )
        uri, method = source.read(lines, own)
        credential = read_credential(lines("authorization"), lines("x-access-token"))
        if credential is Reason.token_missing and _is_handshake(lines, method):
            credential = read_credential((), (), lines("sec-websocket-protocol"))
        address: bytes | None = None
        garbage, forwarded = False, lines("x-forwarded-for")
        if forwarded or source.peer_may_call:
            address, garbage = client_address(packed, forwarded, self._trusted)
        if garbage:
            self._misconfigurations.note(Fault.forwarded_unreadable, peer)
        origin, referer = read_origin(lines, "x-forwarded-host")
        unsent = ""
        if len(uri) != 1 or len(method) != 1 or not uri[0] or not method[0]:
            # Bytes outside ASCII make the path ambiguous; an absent or repeated header is no route.
            garbled = len(uri) == 1 and uri[0] is None and len(method) == 1 and method[0]
            route: RequestLine | Reason = Reason.path_ambiguous if garbled else Reason.route_unknown
            unsent = source.unsent(uri, method)
            if unsent:
                self._misconfigurations.note(Fault.source_missing, peer, unsent)
        else:
            path = path_in(uri[0]) if source.whole_url else uri[0]
            route = Reason.path_ambiguous if path is None else RequestLine(method[0], path)
        decision, known = self.verifier.judge(
            credential, None, route, address, origin, referer, garbage
        )
        if known is None or decision.reason is not Reason.allowed:
            reply = self._refusal(decision, unsent)
            fault = garbage or bool(unsent)
            if address is None and not garbage and decision.reason in _ADDRESS_REASONS:
                self._misconfigurations.note(Fault.address_missing, peer, decision.reason.value)
                fault = True
            return _Answer(reply, decision, known, fault=fault)
        permissions = " ".join(decision.effective) or _NOTHING
        if len(permissions) > LONGEST_PERMISSIONS:
            permissions = " ".join(decision.needed)
        return _Answer(
            Reply(source.allowed, _identity(known.grant, decision.owner, permissions)),
            decision,
            known,
        )

    def _refusal(self, decision: Decision, unsent: str) -> Reply:
        detail = sentence(decision)
        if unsent and decision.reason is Reason.route_unknown:
            detail = f"The gateway must send {unsent} exactly once."
        reply = self._refusals.get((decision.reason, detail))
        if reply is None:
            reply = _with_reason(replace(problem_of_decision(decision), detail=detail))
            if len(self._refusals) < _PEERS_KEPT:
                self._refusals[decision.reason, detail] = reply
        help = self.verifier.help(decision)
        if help is not None:
            # Visible ASCII, as the shared map keeps it.
            reply = reply.adding(b"x-gatepass-help: %s\r\n" % help.encode("ascii"))
        if self.logged and decision.grant is not None:
            # A new one: tokens share the refusals.
            reply = Reply(reply.status, reply.lines, reply.body, decision.grant.id)
        return reply

    # --- services -----------------------------------------------------------------------------

    async def receive(
        self, path: str, bodies: Bodies, lines: Lines, next_piece: NextPiece
    ) -> Reply:
        """Read the body of a service's request, and answer it."""
        # The key is checked before the body: without one no body is read or held in memory.
        asker = self.asker(path, lines)
        if isinstance(asker, Reply):
            # A client that waits for 100 Continue sends no body, and must not be asked for it.
            return asker.closing(bool(lines("expect")) or not await drain(lines, next_piece))
        try:
            with Body(bodies, MOST_BODY_BYTES, bodies.services, asker.key_id) as body:
                announced = content_length(lines("content-length"))
                body.expect(announced)
                content = await read(next_piece, body)
                if announced and announced != len(content):
                    # The body broke off: half a request isn't decided.
                    raise BodyRefused(400)
                return self.serve(path, lines, content)
        except BodyRefused as refused:
            return refusal(refused.status, *refused.headers).closing(True)

    def asker(self, path: str, lines: Lines) -> Asker | Reply:
        """The sender of a request with a verifier key, or the key's refusal."""
        asker = failing_closed(partial(self._asker, path, lines))
        if isinstance(asker, Reply) and path in AUTHZEN:
            return _echoing(asker, lines("x-request-id"))
        return asker

    def serve(self, path: str, lines: Lines, body: bytes) -> Reply:
        """Answer a service whose key may have been revoked since it was checked."""
        asker = self.asker(path, lines)
        if isinstance(asker, Reply):
            return asker
        return self.answer(path, lines, body, asker.companies)

    def answer(
        self, path: str, lines: Lines, body: bytes, companies: frozenset[str] | None
    ) -> Reply:
        """Answer a service whose key has just been checked."""
        began = self._durations.begin()
        if path not in AUTHZEN or _is_json(lines("content-type")):
            reply = self.services.answer(path, body, companies)
        else:
            reply = Reply.of(Problem(400, "bad_request", "Content-Type must be application/json."))
        if began:
            self._durations.end(path, began)
        return _echoing(reply, lines("x-request-id")) if path in AUTHZEN else reply

    def _asker(self, path: str, lines: Lines) -> Asker | Reply:
        authorization = lines("authorization")
        if path == INTROSPECT:
            authorization = bearer_of_basic(authorization)
        credential = read_credential(authorization, lines("x-access-token"))
        reason, companies = self.verifier.verifier_key(credential)
        if reason is Reason.allowed:
            return Asker(credential[:ID_LENGTH], companies)
        return Reply.of(problem_of_reason(401, reason.value))

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


def _is_json(types: Sequence[str | None]) -> bool:
    """Whether a request's media type is JSON's; one that names none counts as such."""
    return all(
        each is not None and each.partition(";")[0].strip(" \t").lower() == "application/json"
        for each in types
    )


def _echoing(reply: Reply, ids: Sequence[str | None]) -> Reply:
    """*reply*, with the id of the request if it has a usual one."""
    if len(ids) != 1 or ids[0] is None or not _request_id(ids[0]):
        return reply
    return reply.adding(b"x-request-id: %s\r\n" % ids[0].encode())


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


def _identity(grant: Grant, owner: Holder | None, permissions: str) -> bytes:
    """The identity headers, all of them: each overwrites one that a client may have sent."""
    external_id = None if owner is None else owner.external_id
    return (
        f"x-gatepass-permissions: {permissions}\r\n"
        f"x-gatepass-token: {grant.id}\r\n"
        f"x-gatepass-company: {grant.company or _NOTHING}\r\n"
        f"x-gatepass-user: {grant.user or _NOTHING}\r\n"
        f"x-gatepass-owner: {grant.user or _NOTHING}\r\n"
        f"x-gatepass-external: {_NOTHING if external_id is None else _escaped(external_id)}\r\n"
        f"x-gatepass-kind: {grant.kind}\r\n"
        "cache-control: no-store\r\n"
    ).encode("ascii")


def _escaped(external_id: str) -> str:
    """An external id for a header; a dash alone would say that there is none."""
    escaped = quote(external_id, safe="")
    return "%2D" if escaped == _NOTHING else escaped


def _with_reason(problem: Problem) -> Reply:
    return Reply.of(problem, ("X-Gatepass-Reason", problem.reason))
