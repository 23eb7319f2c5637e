"""A connection to the verify port: the endpoints for gateways and services, and nothing else."""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from time import perf_counter
from typing import Final
from urllib.parse import unquote

import msgspec

from gatepass.core.routes import Routes
from gatepass.verify.http.header_lines import Lines
from gatepass.verify.remembered import named_route
from gatepass.web import access_log
from gatepass.web.body_limits import (
    MOST_BODY_BYTES,
    Bodies,
    Body,
    BodyRefused,
    content_length,
)
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.reply import Reply, refusal
from gatepass.web.gateway.services import PATHS
from gatepass.web.gateway.sources import SOURCES, Source, own_call, path_in, source_of
from gatepass.web.http.answers import CLOSE, KEEP_ALIVE, rest_of
from gatepass.web.http.body_connection import BodyConnection
from gatepass.web.http.connection import Header, origin_form
from gatepass.web.http.server import Server

_SERVICES: Final = frozenset(path.encode() for path in PATHS)
_ROUTES_KEPT = 4_096
_LONGEST_ROUTE_KEPT = 512

# What a header is to this port. Those with a kind from _ABOUT on are read; no decision depends on
# the first of them.
_NONE, _IGNORED, _FRAMING, _HOST, _ABOUT, _READ, _FIRST_SOURCE = range(-1, 6)
# The headers that name a call, each of a kind of its own.
_NAMING: Final = dict.fromkeys(
    name.lower().encode()
    for source in SOURCES
    if not source.own
    for name in (source.uri, source.method)
)
_KINDS: Final = {
    **{name: kind for kind, name in enumerate(_NAMING, _FIRST_SOURCE)},
    b"host": _HOST,
    b"connection": _FRAMING,
    b"proxy-connection": _FRAMING,
    b"transfer-encoding": _FRAMING,
    b"expect": _FRAMING,
    b"content-length": _READ,
    b"content-type": _ABOUT,
    b"x-request-id": _ABOUT,
    b"traceparent": _ABOUT,
    b"authorization": _READ,
    b"x-access-token": _READ,
    b"x-forwarded-for": _READ,
    b"x-forwarded-host": _READ,
    b"origin": _READ,
    b"referer": _READ,
    b"sec-fetch-site": _READ,
    b"upgrade": _READ,
    b"sec-websocket-protocol": _READ,
}
#: Both say whether the connection stays, to llhttp.
_CONNECTION: Final = (b"connection", b"proxy-connection")
_SPELLINGS_KEPT = 512
_LONGEST_SPELLING = 40


class _Reading(msgspec.Struct, frozen=True, gc=False):
    """How a request to one endpoint is read.

    Attributes:
        uri, method: the kinds of the headers with the call's path and method; ``_NONE`` without.
        person: keeps the answers of the endpoints apart.
    """

    source: Source
    uri: int
    method: int
    person: bytes

    @classmethod
    def of(cls, source: Source) -> "_Reading":
        uri, method = (
            _KINDS.get(name.lower().encode(), _NONE) for name in (source.uri, source.method)
        )
        return cls(source, uri, method, source.endpoint.rpartition("/")[2].encode())


_READINGS: Final = {source.endpoint.encode(): _Reading.of(source) for source in SOURCES}


class Port:
    """What the connections of a verify port share.

    Args:
        endpoints: answers the requests.

    Attributes:
        routes: those that the keys of answers name.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self._connection = LoggedConnection if endpoints.logged else GatewayConnection
        self.bodies = Bodies()
        # The spellings of usual gateways from the start: a stranger may fill up the rest.
        self.kinds = _KINDS | {name.title(): kind for name, kind in _KINDS.items()}
        self.kinds |= {
            name.encode(): _KINDS[name.lower().encode()]
            for name in ("X-Original-URI", "X-Original-URL")
        }
        # The same in lower case; "" for what is ignored.
        self._names = {name: _lower(name) for name in self.kinds}
        self._verifier = endpoints.verifier
        self.routes = endpoints.verifier.routes
        self._kept_route = self._keeping()

    def _keeping(self) -> Callable[[bytes, bytes], bytes | None]:
        return lru_cache(_ROUTES_KEPT)(partial(_route, self.routes))

    def route(self, source: Source, method: bytes, uri: bytes) -> bytes | None:
        """A call's route by ``routes``, or why it has none, as bytes; None if the headers must be
        read one by one."""
        if self.routes is not self._verifier.routes:
            self.routes = self._verifier.routes
            self._kept_route = self._keeping()
        if source.whole_url:
            path = path_in(uri.strip(b" \t").decode("latin-1"))
            if path is None:
                return None
            uri = path.encode("latin-1")
        if len(uri) + len(method) <= _LONGEST_ROUTE_KEPT:
            return self._kept_route(method, uri)
        return _route(self.routes, method, uri)

    def connection(self, server: Server) -> "GatewayConnection":
        """A connection of *server*."""
        return self._connection(server, self)

    def kind(self, name: bytes) -> int:
        """What a header is, by its name in a spelling that wasn't seen before."""
        kind = _KINDS.get(name.lower(), _IGNORED)
        # Bounded in number and in size: callers choose the names.
        if len(self.kinds) < _SPELLINGS_KEPT and len(name) <= _LONGEST_SPELLING:
            self.kinds[name] = kind
            self._names[name] = _lower(name) if kind != _IGNORED else ""
        return kind

    def lines(self, headers: Sequence[Header]) -> Lines:
        """The header lines of a request that endpoints read, by lower-case name."""
        names = self._names
        found: dict[str, list[str | None]] = {}
        for spelled, value in headers:
            name = names.get(spelled)
            if name is None:
                name = _lower(spelled)
            if name:
                text = value.decode("ascii").strip(" \t") if value.isascii() else None
                if name in found:
                    found[name].append(text)
                else:
                    found[name] = [text]
        return lambda name: found.get(name, ())


class GatewayConnection(BodyConnection):
    """A connection of a gateway or a service.

    Args:
        port: what it shares with the others.
    """

    def __init__(self, server: Server, port: Port) -> None:
        super().__init__(server)
        self._server = server
        self._port = port
        self._endpoints = port.endpoints
        self._plain = True
        self._companies: frozenset[str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        super().connection_made(transport)
        self._raw_peer = self.peer.encode()
        if self._endpoints.trusts(self.peer):
            self._server.recognized(self)

    def head_received(self) -> None:
        """Answer the request, or read its body."""
        kinds = self._port.kinds
        target = self.target = origin_form(self.target)
        reading = _READINGS.get(target)
        if reading is None and (source := source_of(target)) is not None:
            # Its target is longer.
            reading = _READINGS[source.endpoint.encode()]
        uri_kind = _NONE if reading is None else reading.uri
        method_kind = _NONE if reading is None else reading.method
        hosts = uris = methods = 0
        uri = method = b""
        framing: list[Header] = []
        read: list[bytes] = []
        for name, value in self.headers:
            kind = kinds.get(name)
            if kind is None:
                kind = self._port.kind(name)
            if kind == _IGNORED:
                continue
            if kind == _READ:
                read += (name, value)
            elif kind == uri_kind:
                uri = value
                uris += 1
            elif kind == method_kind:
                method = value
                methods += 1
            elif kind == _HOST:
                hosts += 1
            elif kind == _FRAMING:
                framing.append((name, value))
        if framing or hosts != 1 or not self.keep_alive:
            fault = self._fault(hosts, framing)
            if fault is not None:
                self.refuse(fault)
                return
        else:
            self._plain = True
        if reading is None:
            self._other(target)
            return
        source, own = reading.source, None
        if source.own:
            own = own_call(self.method, target)
            uri, method = own.target.encode("latin-1"), self.method
            uris, methods = int(uri.startswith(b"/")), 1
        if uris == 1 == methods:
            route = self._port.route(source, method, uri)
            if route is not None:
                # No header value holds a NUL, so this can't be read in two ways.
                read += (method, route, self._raw_peer)
                key = blake2b(b"\0".join(read), person=reading.person).digest()
                reply = self._endpoints.gateway_again(
                    self.peer, key, self._port.routes, self._lines, source, own
                )
                self._send(reply)
                return
        self._send(self._endpoints.gateway(self.peer, self._lines(), source, own))

    def _other(self, target: bytes) -> None:
        path, method = target.partition(b"?")[0].decode("latin-1"), self.method.decode("latin-1")
        if not self._for_service():
            self._send(self._endpoints.without_body(path, method) or refusal(404))
            return
        # The key is checked before the body: without one no body is read or held in memory.
        lines = self._lines()
        asker = self._endpoints.asker(path, lines)
        expects = bool(lines("expect"))
        if isinstance(asker, Reply):
            if expects:
                # As in _fault.
                self.keep_alive = False
            self._send(asker)
            return
        self._server.recognized(self)
        bodies = self._port.bodies
        self._companies = asker.companies
        body = Body(bodies, MOST_BODY_BYTES, bodies.services, asker.key_id)
        try:
            body.expect(content_length(lines("content-length")))
        except BodyRefused as refused:
            self.body_refused(refused)
            self.close()
            return
        self.read_body(body)
        if expects:
            self.send_continue()

    def body_received(self, content: bytes, *, at_once: bool) -> None:
        """Answer a service."""
        path = self.target.partition(b"?")[0].decode("latin-1")
        if at_once:
            self._send(self._endpoints.answer(path, self._lines(), content, self._companies))
        else:
            # The key may have been revoked while the body arrived.
            self._send(self._endpoints.serve(path, self._lines(), content))

    def body_refused(self, refused: BodyRefused) -> None:
        """Answer with the status that says why."""
        self.keep_alive = False
        self._send(refusal(refused.status, *refused.headers))

    def refuse(self, status: int) -> None:
        """Answer with a problem document, and close."""
        self.keep_alive = False
        self._plain = False
        if not self._in_body:
            # It is that of an earlier request.
            self.method = b""
        self._send(refusal(status))
        self.close()

    def _send(self, reply: Reply) -> None:
        if self.server.stopping:
            self.keep_alive = False
        if self._plain and self.keep_alive and self.method != b"HEAD":
            self.respond(reply.status, reply.rest())
            return
        lines = reply.lines
        if not self.keep_alive:
            lines += CLOSE
        elif not self._plain:
            # Needed by HTTP/1.0, and allowed in 1.1.
            lines += KEEP_ALIVE
        head = self.method == b"HEAD"
        self.respond(reply.status, rest_of(reply.status, lines, reply.body, head=head))

    def _fault(self, hosts: int, framing: Sequence[Header]) -> int | None:
        found: dict[bytes, list[bytes]] = {}
        for name, value in framing:
            found.setdefault(name.lower(), []).append(value)
        self._plain = found.keys().isdisjoint(_CONNECTION) and self.keep_alive
        fault = self.fault(hosts, found.get(b"transfer-encoding", ()), plain=self._plain)
        expected = found.get(b"expect", ())
        if fault is None and any(value.strip().lower() != b"100-continue" for value in expected):
            fault = 417
        if expected and not self._for_service():
            # It isn't known whether the client sends its body, which nobody reads.
            self.keep_alive = False
        return fault

    def _for_service(self) -> bool:
        return self.method == b"POST" and self.target.partition(b"?")[0] in _SERVICES

    def _lines(self) -> Lines:
        return self._port.lines(self.headers)


class LoggedConnection(GatewayConnection):
    """A connection whose requests are logged."""

    _began: float | None = None

    def head_received(self) -> None:
        """Answer the request, or read its body."""
        self._began = perf_counter()
        super().head_received()

    def _send(self, reply: Reply) -> None:
        lines = self._port.lines(self.headers)
        # Of a head that can't be parsed nothing is known.
        ended = perf_counter()
        began, self._began = ended if self._began is None else self._began, None
        id = access_log.request_id(lines)
        super()._send(_naming(reply, id))
        token, reason = reply.told()
        access_log.note(
            access_log.Request(
                method=self.method.decode("latin-1"),
                path=unquote(self.target.partition(b"?")[0].decode("latin-1")),
                status=reply.status,
                duration_ms=(ended - began) * 1000,
                address=self._endpoints.client_of(self.peer, lines),
                request_id=id,
                trace=access_log.trace(lines),
                token=token,
                reason=reason,
            )
        )


def _naming(reply: Reply, request_id: str) -> Reply:
    """*reply* with the id of its request, unless it has it."""
    if b"x-request-id: " in reply.lines:
        return reply
    return reply.adding(b"x-request-id: %s\r\n" % request_id.encode("ascii"))


def _lower(name: bytes) -> str:
    return name.decode("ascii").lower()


def _route(routes: Routes, method: bytes, uri: bytes) -> bytes | None:
    if not uri or not method or not uri.isascii() or not method.isascii():
        return None
    named = named_route(
        routes, method.decode("ascii").strip(" \t"), uri.decode("ascii").strip(" \t")
    )
    return f"{routes.tag} {named}".encode()
