"""The endpoints that others ask for decisions: ``/authz/nginx`` and ``/v1/verify``.

One plain class, request in, reply out, without any framework. ``web.app`` puts it before the
framework on the main port (ASGI), ``web.server.worker`` serves it alone on the verify port (RSGI).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Final

import msgspec

from gatepass.core.credentials import ID_LENGTH
from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import GatepassError, InvalidInput, Unavailable
from gatepass.core.networks import parse_address
from gatepass.core.permissions import is_permission
from gatepass.verify.decider import CachedToken
from gatepass.verify.http.client_address import TrustedProxies, client_address
from gatepass.verify.http.refusals import sentence
from gatepass.verify.http.request_credentials import read_credential, read_origin, read_single
from gatepass.verify.verifier import Verifier
from gatepass.web.bodies import CLOSE, MOST_BODY_BYTES, Lines
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

GATEWAY = "/authz/nginx"
VERIFY = "/v1/verify"
#: Past this, X-Gatepass-Permissions names only what the call needed: proxies limit header sizes.
LONGEST_PERMISSIONS = 2_000

_NO_STORE: Final = ("Cache-Control", "no-store")
_NOTHING: Final = "-"
_PEERS_KEPT = 4_096
_MOST_ERRORS = 20
_FIELDS = frozenset(("token", "permission", "method", "path", "address", "origin", "referer"))

_log = logging.getLogger("gatepass.authz")


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What goes back: status, headers, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def closing(self, close: bool) -> "Reply":
        """This reply, with which the connection ends if *close*."""
        return Reply(self.status, [*self.headers, CLOSE], self.body) if close else self


class Endpoints:
    """Answers gateways and services.

    Args:
        verifier: decides.
        trusted: the peers that may ask as a gateway and speak for other addresses.
        not_ready: why this node isn't ready, or None.
        misconfigurations: notes what gateways do wrong.
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

    # --- gateways -----------------------------------------------------------------------------

    def gateway(self, peer: str, lines: Lines) -> Reply:
        """Answer nginx's ``auth_request``: 204, 401 or 403; 5xx only when it can't be decided.

        Args:
            peer: the socket peer's address as text.
            lines: reads a request header by its lower-case name.
        """
        try:
            return self._gateway(peer, lines)
        except Unavailable as error:
            return _with_reason(problem_of_error(error))
        except Exception:
            # Whatever it is, it isn't "allowed". The request isn't logged: it carries a secret.
            _log.exception("a gateway's question failed")
            return _with_reason(problem_of_status(500))

    def _gateway(self, peer: str, lines: Lines) -> Reply:
        known_peer = self._peer(peer)
        if known_peer is None or not known_peer[1]:
            self._misconfigurations.note(Fault.gateway_untrusted, peer)
            return _with_reason(
                Problem(403, "peer_not_trusted", "Only trusted proxies may ask here.")
            )
        # The gateway's own sub-request has a method and a path too; they never count.
        uri, method = lines("x-original-uri"), lines("x-original-method")
        presented = read_credential(lines("authorization"), lines("x-access-token"))
        if presented is Reason.token_missing and _is_handshake(lines, method):
            presented = read_credential((), (), lines("sec-websocket-protocol"))
        address, garbage = client_address(known_peer[0], lines("x-forwarded-for"), self._trusted)
        if garbage:
            self._misconfigurations.note(Fault.forwarded_unreadable, peer)
        origin, referer = read_origin(lines, "x-forwarded-host")
        unsent = ""
        if len(uri) != 1 or len(method) != 1 or not uri[0] or not method[0]:
            # Bytes outside ASCII are the path's fault; what is absent or repeated is no route.
            garbled = len(uri) == 1 and uri[0] is None and len(method) == 1 and method[0]
            route: str | Reason = Reason.path_ambiguous if garbled else Reason.route_unknown
            unsent = _unsent(uri, method)
            if unsent:
                self._misconfigurations.note(Fault.source_missing, peer, unsent)
        else:
            route = self._verifier.routes.match(method[0], uri[0])
        decision, known = self._verifier.judge(
            presented, None, route, address, origin, referer, garbage
        )
        if known is None or decision.reason is not Reason.allowed:
            return self._refusal(decision, unsent)
        headers = known.memo
        if headers is None:
            headers = known.memo = _identity(known, decision)
        if len(headers[0][1]) <= LONGEST_PERMISSIONS:
            return Reply(204, headers)
        needed = ("X-Gatepass-Permissions", " ".join(decision.needed))
        return Reply(204, [needed, *headers[1:]])

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

    def verify(self, lines: Lines, body: bytes) -> Reply:
        """Answer ``POST /v1/verify``: 200 with the decision; the asker shows a verifier key.

        Args:
            lines: reads a request header by its lower-case name.
            body: the request's JSON.
        """
        try:
            return self._verify(lines, body)
        except GatepassError as error:
            return _problem(problem_of_error(error))
        except Exception:
            _log.exception("a service's question failed")
            return _problem(problem_of_status(500))

    def asker(self, lines: Lines) -> str | Reply:
        """The id of the verifier key that a service shows; its refusal if that isn't a good one.

        What reads the body asks this first, so that nobody unknown has a body read or kept.
        """
        try:
            return self._asker(lines)
        except GatepassError as error:
            return _problem(problem_of_error(error))
        except Exception:
            _log.exception("a service's key can't be looked at")
            return _problem(problem_of_status(500))

    def _asker(self, lines: Lines) -> str | Reply:
        presented = read_credential(lines("authorization"), lines("x-access-token"))
        reason = self._verifier.verifier_key(presented)
        if reason is Reason.allowed:
            return presented[:ID_LENGTH]
        return _problem(problem_of_reason(401, reason.value))

    def _verify(self, lines: Lines, body: bytes) -> Reply:
        # Again: the key may have ended while the body was coming.
        asker = self._asker(lines)
        if isinstance(asker, Reply):
            return asker
        if len(body) > MOST_BODY_BYTES:
            return _problem(problem_of_status(413))
        try:
            question = _question(parse(body))
        except BrokenJSON as error:
            return _problem(Problem(400, "bad_request", str(error)))
        route: str | Reason | None = None
        if question["method"] is not None:
            route = self._verifier.routes.match(question["method"], question["path"] or "")
        address = question["address"]
        decision, known = self._verifier.judge(
            question["token"] or Reason.token_missing,
            question["permission"],
            route,
            None if address is None else parse_address(address),
            question["origin"],
            question["referer"],
        )
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
        headers = [("Content-Type", "application/json"), _NO_STORE]
        return Reply(200, headers, msgspec.json.encode(answer))

    # --- health -------------------------------------------------------------------------------

    def ready(self) -> Reply:
        """200 while this node can decide, 503 with the reason while it can't."""
        why = self._not_ready()
        headers = [("Content-Type", "application/json"), _NO_STORE]
        if why is None:
            return Reply(200, headers, b'{"status":"ready"}')
        return Reply(503, headers, msgspec.json.encode({"status": "not_ready", "reason": why}))

    def live(self) -> Reply:
        """200: the process answers."""
        headers = [("Content-Type", "application/json"), _NO_STORE]
        return Reply(200, headers, b'{"status":"live"}')


def _read_peer(trusted: TrustedProxies, peer: str) -> tuple[bytes, bool] | None:
    """The packed address of a socket peer and whether it is trusted; None if it is no address."""
    packed = parse_address(peer)
    return None if packed is None else (packed, trusted.contains(packed))


def _is_handshake(lines: Lines, method: Sequence[str | None]) -> bool:
    """Whether the call asks for a WebSocket: the gateway passes it on as one, or not at all."""
    upgrade = read_single(lines("upgrade"))
    return upgrade is not None and upgrade.lower() == "websocket" and list(method) == ["GET"]


def _unsent(uri: Sequence[str | None], method: Sequence[str | None]) -> str:
    """The names of the headers that a gateway must send once each and didn't."""
    sent = (("X-Original-URI", uri), ("X-Original-Method", method))
    return " and ".join(name for name, values in sent if len(values) != 1 or values[0] == "")


def _identity(known: CachedToken, decision: Decision) -> list[tuple[str, str]]:
    """Every header is always set, so that nothing a client sent under these names survives."""
    grant = known.grant
    return [
        ("X-Gatepass-Permissions", " ".join(decision.effective) or _NOTHING),
        ("X-Gatepass-Token", grant.id),
        ("X-Gatepass-Company", grant.company or _NOTHING),
        ("X-Gatepass-User", grant.user or _NOTHING),
        ("X-Gatepass-Kind", grant.kind),
        _NO_STORE,
    ]


def _question(value: object) -> dict[str, str | None]:
    if not isinstance(value, dict):
        raise InvalidInput([("body", "must be an object")])
    # Cut short: what was sent is repeated here, and may be a megabyte of it.
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


def _problem(problem: Problem) -> Reply:
    return Reply(problem.status, problem.headers(), problem.body())


def _with_reason(problem: Problem) -> Reply:
    headers = [*problem.headers(), ("X-Gatepass-Reason", problem.reason)]
    return Reply(problem.status, headers, problem.body())
