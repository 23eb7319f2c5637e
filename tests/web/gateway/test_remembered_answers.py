"""Whatever is remembered, each answer is the one that a decision would give now.

Generated requests are sent to ``GatewayConnection`` over and over, while grants change and time
passes. Each answer is compared with that of endpoints which remember nothing.
"""

import json
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass.core.grants import CompanyRules, Holder, Trial
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier
from gatepass.web.gateway.connection import GatewayConnection, Port
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.reply import Reply
from gatepass.web.gateway.sources import own_call, source_of
from gatepass.web.gateway.verification import BATCH, VERIFY
from tests.support.apps.gateway_clients import GATEWAY
from tests.support.grants.grant_fixtures import (
    START_MS,
    Clocks,
    Samples,
    header_lines,
    networks,
)
from tests.web.http.test_connection import FakeServer, FakeTransport

pytestmark = pytest.mark.slow

TRUSTED = ("127.0.0.0/8", "10.0.0.0/8", "unix:")
PEERS = ("127.0.0.1", "203.0.113.9", "", "unix:")
TOKENS = [
    *("good", "deactivated", "expired", "lasting", "listed", "networked", "ui", "poor", "many"),
    *("login", "verifier", "unknown", "wrong secret", "bad checksum", "empty"),
]
TOKEN_NAMES = st.sampled_from(TOKENS)
Header = tuple[bytes, bytes]


# --- what is sent --------------------------------------------------------------------------------

_VALUE = bytes(set(range(256)) - set(range(32)) - {127} | {9})
garbage = st.lists(st.sampled_from(_VALUE), max_size=12).map(bytes)


# A token is named, and its text filled in where the header is sent.
token = st.sampled_from(["good", "listed", "networked", "ui", *TOKENS]).map(
    lambda name: b"{" + name.encode() + b"}"
)
bearer = token.map(lambda text: b"Bearer " + text)
protocol = token.map(lambda text: b"gatepass, " + text)
METHODS = [b"GET", b"HEAD", b"POST", b"get", b"PUT", b"G T", b"\xc3\xa9", b""]
URIS = [
    *(b"/v1/charges/1", b"/v1/charges/2?a=b", b"/v1/charges", b"/v1/charges/1/refund", b"*", b""),
    *(b"/v1/charges/..", b"/v1//charges", b"/v1/charges/%2e", b"/v1/charges/\xc3\xa9", b"/nowhere"),
    b"/v1/charges/" + b"a" * 600,
]
FORWARDED = [
    *(b"203.0.113.7", b"198.51.100.7", b"198.51.100.7, 10.0.0.1", b"10.0.0.1", b"x", b""),
    *(b"2001:db8::7", b"203.0.113.7:80", b"::ffff:203.0.113.7"),
]
ORIGINS = [b"https://shop.example.com", b"https://a.example.org", b"https://x.example", b"null"]

#: Each header with the values that it may have, besides garbage.
HEADERS: dict[bytes, st.SearchStrategy[bytes]] = {
    b"Authorization": st.one_of(bearer, st.sampled_from([b"Basic eDp5", b"Bearer"])),
    b"X-Access-Token": token,
    b"Sec-WebSocket-Protocol": st.one_of(protocol, st.just(b"chat")),
    b"Upgrade": st.sampled_from([b"websocket", b"WebSocket", b"h2c"]),
    b"Connection": st.sampled_from([b"upgrade", b"keep-alive, Upgrade", b"keep-alive"]),
    b"Proxy-Connection": st.sampled_from([b"upgrade", b"keep-alive"]),
    b"X-Forwarded-For": st.sampled_from(FORWARDED),
    b"X-Forwarded-Host": st.sampled_from([b"shop.example.com", b"x.example"]),
    b"Origin": st.sampled_from(ORIGINS),
    b"Referer": st.sampled_from(ORIGINS).map(lambda origin: origin + b"/page"),
    b"Sec-Fetch-Site": st.sampled_from([b"same-origin", b"cross-site", b"none"]),
    b"X-Original-URI": st.sampled_from(URIS),
    b"X-Original-Method": st.sampled_from(METHODS),
    b"X-Anything": st.just(b"1"),
}


def header(name: bytes, *, odd: bool) -> st.SearchStrategy[Header]:
    """A header with one of its values; if *odd*, maybe garbage, padded or in another case."""
    values = HEADERS[name]
    if not odd:
        return st.tuples(st.just(name), values)
    spelled = st.sampled_from([name, name.lower(), name.upper(), name.swapcase()])
    space = st.sampled_from([b"", b"", b" ", b"\t", b"  \t "])
    padded = st.tuples(space, st.one_of(values, values, garbage), space).map(b"".join)
    return st.tuples(spelled, padded)


def some(*names: bytes, odd: bool = False) -> st.SearchStrategy[Header]:
    return st.sampled_from(names).flatmap(lambda name: header(name, odd=odd))


@st.composite
def similar(draw: st.DrawFn) -> list[tuple[str, list[Header]]]:
    """A request that may well be allowed, and some that differ from it in little."""
    address = draw(st.lists(header(b"X-Forwarded-For", odd=False), max_size=1))
    method, uri = (b"X-Original-Method", b"GET"), (b"X-Original-URI", b"/v1/charges/1")
    kind = draw(st.sampled_from(["gateway", "page", "handshake"]))
    if kind == "handshake":
        credential = [
            (b"Connection", b"upgrade"),
            (b"Upgrade", b"websocket"),
            (b"Sec-WebSocket-Protocol", draw(protocol)),
        ]
    else:
        credential = [draw(some(b"Authorization", b"X-Access-Token"))]
    if kind == "page":
        credential += [(b"Sec-Fetch-Site", b"same-origin"), draw(some(b"X-Forwarded-Host"))]
    first = draw(st.permutations([*credential, *address, method, uri]))
    asked = [(draw(st.sampled_from(["127.0.0.1", "unix:"])), first)]
    for _ in range(draw(st.integers(1, 3))):
        peer, headers = asked[0]
        at = draw(st.integers(0, len(headers) - 1))
        before, (name, _), after = headers[:at], headers[at], headers[at + 1 :]
        how = draw(st.sampled_from(["peer", "value", "value", "absent", "twice", "more"]))
        if how == "peer":
            peer = draw(st.sampled_from(PEERS))
        elif how == "value":
            headers = [*before, draw(header(name, odd=draw(st.booleans()))), *after]
        elif how == "absent":
            headers = before + after
        elif how == "twice":
            headers = [*before, headers[at], headers[at], *after]
        else:
            headers = [*headers, draw(some(*HEADERS, odd=True))]
        asked.append((peer, headers))
    return asked


anything = st.lists(
    st.tuples(st.sampled_from(PEERS), st.lists(some(*HEADERS, odd=True), max_size=7)),
    min_size=1,
    max_size=3,
)

VALUES = st.one_of(
    TOKEN_NAMES.map(lambda name: "{" + name + "}"),
    st.sampled_from(["charges:get", "charges:create", "GET", "POST", "/v1/charges/1", "/v1/x"]),
    st.sampled_from(["203.0.113.7", "198.51.100.7", "https://shop.example.com", "", "\ud800"]),
    st.none(),
    st.integers(0, 2),
)
FIELDS = ["token", "permission", "method", "path", "address", "origin", "referer", "other"]
questions = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5),
    st.fixed_dictionaries(
        {
            "token": TOKEN_NAMES.map(lambda name: "{" + name + "}"),
            "permission": st.sampled_from(["charges:get", "charges:create"]),
        },
        optional={
            "address": st.sampled_from(["203.0.113.7", "198.51.100.7", "x"]),
            "origin": st.sampled_from([origin.decode() for origin in ORIGINS]),
        },
    ),
)
bodies = st.one_of(
    questions.map(json.dumps),
    questions.map(lambda one: json.dumps(one, indent=1)),
    st.text(string.printable, max_size=20),
).map(str.encode)
batches = st.lists(questions, max_size=4).map(lambda calls: json.dumps({"calls": calls}).encode())


# --- what happens meanwhile ----------------------------------------------------------------------


def _deactivate(world: "World", name: str) -> None:
    world.samples.change(name, deactivated=True)


def _restore(world: "World", name: str) -> None:
    world.samples.put(*world.samples.records)


def _restrict(world: "World", name: str) -> None:
    world.samples.change(name, networks=networks("198.51.100.0/24"))


def _let_expire(world: "World", name: str) -> None:
    world.samples.change(name, expires_at=world.clocks.wall_ms + 2_500)


def _offboard(world: "World", name: str) -> None:
    world.samples.put(Holder("usr_dev", "cmp_1", False, "developer"))


def _demote(world: "World", name: str) -> None:
    world.samples.put(Holder("usr_dev", "cmp_1", True, "nobody"))


def _try_allowlist(world: "World", name: str) -> None:
    rules = next(r for r in world.samples.records if getattr(r, "id", "") == "cmp_1")
    assert isinstance(rules, CompanyRules)
    trial = Trial(networks("203.0.113.0/24"), world.clocks.wall_ms + 2_500)
    world.samples.put(CompanyRules("cmp_1", True, None, rules.roles, trial))


def _die_after_commit(world: "World", name: str) -> None:
    """A writer that is killed between its commit and the second change of the generation."""
    world.samples.begin(world.samples.changed(name, deactivated=True))
    world.samples.file.shared.change_generation()
    world.send_one_of_each()
    world.samples.connection.execute("COMMIT")
    world.clocks.advance(1)


def _wait(world: "World", name: str) -> None:
    world.clocks.advance(1)


events = st.one_of(
    st.none(),
    st.none(),
    st.none(),
    st.tuples(
        st.sampled_from(
            [
                *(_deactivate, _restore, _restrict, _let_expire, _offboard, _demote),
                *(_try_allowlist, _die_after_commit, _wait, _wait, _wait),
            ]
        ),
        st.sampled_from(["good", "listed", "networked", "ui", "many", "verifier"]),
    ),
)


class Forgetful(Verifier):
    """Decides each call by rows that it has just read."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.remembered.recall = lambda key: None  # type: ignore[method-assign]

    def judge(self, *call: Any, **how: Any) -> Any:
        fresh = self.__class__(self.file, self.clock, self.routes)
        return Verifier.judge(fresh, *call, **how)

    def verifier_key(self, credential: Any) -> Any:
        fresh = self.__class__(self.file, self.clock, self.routes)
        return Verifier.verifier_key(fresh, credential)


class _Counts(Usage):
    """Counts decisions by reason, in memory alone."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._spooled: list[bytes] = []
        self._spool.append = self._spooled.append  # type: ignore[method-assign]  # not to a file

    def total(self) -> Counter[str]:
        """Those since the last time."""
        self.flush()
        lines = b"".join(self._spooled).splitlines()
        self._spooled.clear()
        found = Counter[str]()
        for line in map(json.loads, lines):
            found.update(line.get("decisions", {}))
        return found


class World:
    """A grant file with clocks, connections of each kind of peer, and endpoints that forget."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self.clocks = Clocks()
        self.counts = _Counts(samples.path.parent / "unused")
        self.clock = self.clocks.clock()
        trusted = TrustedProxies.of(TRUSTED)
        verifier = samples.verifier(self.clock, usage=self.counts)
        self.port = Port(Endpoints(verifier, trusted, lambda: None))
        forgetful = Forgetful(samples.file, self.clock, verifier.routes)
        self.fresh = Endpoints(forgetful, trusted, lambda: None)
        self.connections = {peer: self._connect(peer) for peer in PEERS}

    def _connect(self, peer: str) -> GatewayConnection:
        server: Any = FakeServer()
        server.stopping = False
        server.recognized = lambda connection: None
        connection = GatewayConnection(server, self.port)
        transport = FakeTransport()
        connection.connection_made(transport)
        connection.peer, connection._raw_peer = peer, peer.encode()
        return connection

    def send(self, peer: str, raw: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send one request, and read its one answer."""
        connection = self.connections[peer]
        transport: Any = connection._transport
        connection.data_received(raw)
        head, _, body = transport.sent.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        pairs = [line.partition(b": ") for line in lines]
        headers = {name: value for name, _, value in pairs}
        assert len(headers) == len(pairs)
        assert len(body) == int(headers.pop(b"content-length", b"0"))
        transport.sent = b""
        if transport.done:
            self.connections[peer] = self._connect(peer)
        for name in (b"connection", b"date"):
            headers.pop(name, None)
        return int(first.split()[1]), headers, body

    def ask(
        self,
        peer: str,
        headers: Sequence[Header],
        target: bytes = GATEWAY.encode(),
        method: bytes = b"GET",
    ) -> None:
        """Ask as a gateway; the answer must be one that is decided now."""
        sent = [(name, self._filled(value)) for name, value in headers]
        raw = b"".join(b"%s: %s\r\n" % each for each in sent)
        answer = self.send(peer, b"%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % (method, target, raw))
        lines = header_lines([(name.decode(), value.strip(b" \t")) for name, value in sent])
        source = source_of(target)
        assert source is not None
        own = own_call(method, target) if source.own else None
        assert answer == _as_sent(self.fresh.gateway(peer, lines, source, own))

    def verify(self, path: str, body: bytes) -> None:
        """Ask as a service; likewise."""
        filled = self._filled(body)
        key = self.samples.texts["verifier"].encode()
        raw = b"POST %s HTTP/1.1\r\nHost: a\r\nX-Access-Token: %s\r\nContent-Length: %d\r\n\r\n%s"
        answer = self.send("203.0.113.9", raw % (path.encode(), key, len(filled), filled))
        lines = header_lines([("x-access-token", key)])
        assert answer == _as_sent(self.fresh.serve(path, lines, filled))

    def send_one_of_each(self) -> None:
        """Fill the memory with a call of each token."""
        for name in TOKENS:
            text = self.samples.texts[name].encode()
            self.ask("127.0.0.1", [(b"X-Access-Token", text), *USUAL])

    def _filled(self, value: bytes) -> bytes:
        for name, text in self.samples.texts.items():
            value = value.replace(b"{" + name.encode() + b"}", text.encode())
        return value


USUAL = [(b"X-Original-URI", b"/v1/charges/1"), (b"X-Original-Method", b"GET")]


def _as_sent(reply: Reply) -> tuple[int, dict[bytes, bytes], bytes]:
    return reply.status, dict(reply.headers), reply.body


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    samples = Samples(tmp_path_factory.mktemp("remembered") / "gatepass.db")
    samples.file.shared.set_public_url("https://gatepass.example.com")
    yield samples
    samples.close()


@pytest.fixture
def world(samples: Samples) -> World:
    return World(samples)


many = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])

Step = tuple[int, tuple[Callable[["World", str], None], str] | None]


def _steps(things: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A few things to ask, and the order in which they are asked, with what happens before each."""
    return st.tuples(
        things,
        st.lists(st.tuples(st.integers(0, 3), events), min_size=3, max_size=16),
    )


@many
@given(_steps(st.one_of(similar(), similar(), anything)))
def test_a_gateways_answers_are_those_of_now(
    world: World, steps: tuple[list[tuple[str, list[Header]]], list[Step]]
) -> None:
    world.samples.put(*world.samples.records)
    asked, order = steps
    for number, event in order:
        if event is not None:
            event[0](world, event[1])
        world.ask(*asked[number % len(asked)])


@many
@given(
    _steps(
        st.lists(
            st.one_of(st.tuples(st.just(VERIFY), bodies), st.tuples(st.just(BATCH), batches)),
            min_size=1,
            max_size=4,
        )
    )
)
def test_a_services_answers_are_those_of_now(
    world: World, steps: tuple[list[tuple[str, bytes]], list[Step]]
) -> None:
    world.samples.put(*world.samples.records)
    asked, order = steps
    for number, event in order:
        if event is not None:
            event[0](world, event[1])
        world.verify(*asked[number % len(asked)])


@many
@given(st.lists(st.tuples(TOKEN_NAMES, st.sampled_from([0, 0, 0.3, 1])), max_size=20))
def test_each_use_counts_once(world: World, calls: list[tuple[str, float]]) -> None:
    """Remembered or not."""
    world.samples.put(*world.samples.records)
    world.counts.total()
    for name, seconds in calls:
        world.clocks.advance(seconds)
        text = world.samples.texts[name].encode()
        world.ask("127.0.0.1", [(b"X-Access-Token", text), *USUAL])
    assert sum(world.counts.total().values()) == len(calls)


BASES: dict[str, list[Header]] = {
    "gateway": [(b"X-Forwarded-For", b"198.51.100.7"), (b"Authorization", b"Bearer {networked}")],
    "page": [
        *((b"X-Access-Token", b"{ui}"), (b"Sec-Fetch-Site", b"same-origin")),
        (b"X-Forwarded-Host", b"shop.example.com"),
    ],
    "from an origin": [(b"X-Access-Token", b"{ui}"), (b"Origin", b"https://shop.example.com")],
    "from a page": [(b"X-Access-Token", b"{ui}"), (b"Referer", b"https://shop.example.com/x")],
    "handshake": [
        *((b"Connection", b"upgrade"), (b"Upgrade", b"websocket")),
        (b"Sec-WebSocket-Protocol", b"gatepass, {good}"),
    ],
}
OTHERS: list[Header] = [
    *((b"X-Original-URI", value) for value in URIS),
    *((b"X-Original-Method", value) for value in METHODS),
    *((b"X-Forwarded-For", value) for value in FORWARDED),
    *((b"Origin", value) for value in ORIGINS),
    *((b"Referer", value) for value in ORIGINS),
    *((b"Sec-Fetch-Site", value) for value in (b"same-origin", b"cross-site", b"none", b"x")),
    *((b"X-Forwarded-Host", value) for value in (b"x.example", b"shop.example.com")),
    *((b"Authorization", value) for value in (b"Bearer {good}", b"Bearer {ui}", b"Basic x")),
    *((b"X-Access-Token", value) for value in (b"{good}", b"{networked}", b"{ui}", b"x")),
    *((b"Upgrade", value) for value in (b"websocket", b"h2c")),
    *((b"Sec-WebSocket-Protocol", value) for value in (b"gatepass, {ui}", b"chat", b"x, {good}")),
    (b"X-Anything", b"1"),
]


@pytest.mark.parametrize("base", BASES)
def test_a_call_that_differs_in_one_header_is_another(world: World, base: str) -> None:
    """Whatever was remembered before it; and the peer is part of the call."""
    headers = [*BASES[base], *USUAL]
    for peer in PEERS:
        world.ask("127.0.0.1", headers)
        world.ask(peer, headers)
    for at, (name, _) in enumerate(headers):
        world.ask("127.0.0.1", headers)
        world.ask("127.0.0.1", headers[:at] + headers[at + 1 :])
        for other in OTHERS:
            if other[0] == name:
                world.ask("127.0.0.1", headers)
                world.ask("127.0.0.1", [*headers[:at], other, *headers[at + 1 :]])
    for other in OTHERS:
        world.ask("127.0.0.1", headers)
        world.ask("127.0.0.1", [*headers, other])
        world.ask("127.0.0.1", [other, *headers])


#: The same call for every endpoint.
EVERY_SOURCE: list[Header] = [
    *USUAL,
    (b"X-Forwarded-Uri", b"/v1/charges/1"),
    (b"X-Forwarded-Method", b"GET"),
    (b"X-Original-URL", b"https://a/v1/charges/1"),
]
CHANGED = {
    b"X-Original-URI": b"/v1/charges/1/refund",
    b"X-Original-Method": b"POST",
    b"X-Forwarded-Uri": b"/v1/charges/1/refund",
    b"X-Forwarded-Method": b"POST",
    b"X-Original-URL": b"https://a/v1/charges/1/refund",
}
TARGETS = [
    *(b"/authz/nginx", b"/authz/forward", b"/authz/ingress-nginx", b"/authz/nginx?x"),
    *(b"/authz/envoy/v1/charges/1", b"/authz/envoy/v1/charges/2?x", b"/authz/envoy/v1/other"),
    *(b"/authz/envoy", b"/authz/envoy?/v1/charges/1", b"/authz/envoy//v1/charges/1"),
]


def test_an_endpoints_answers_are_its_own(world: World) -> None:
    """Whatever another one answered to the same headers."""
    sent = [EVERY_SOURCE]
    for at, (name, _) in enumerate(EVERY_SOURCE):
        before, after = EVERY_SOURCE[:at], EVERY_SOURCE[at + 1 :]
        sent += [before + after, [*before, (name, CHANGED[name]), *after]]
    for token in ((b"X-Access-Token", b"{good}"), (b"X-Access-Token", b"{networked}")):
        for address in ([], [(b"X-Forwarded-For", b"198.51.100.7")]):
            for headers in sent:
                for target in TARGETS:
                    world.ask("127.0.0.1", [token, *address, *headers], target)
                world.ask("127.0.0.1", [token, *headers], TARGETS[4], b"POST")
                world.ask("127.0.0.1", [token, *headers], TARGETS[4], b"DELETE")


@pytest.mark.parametrize("moment", ["expires_at", "trial"])
def test_an_answer_ends_at_its_millisecond(world: World, moment: str) -> None:
    """Time alone changes it, in the same second."""
    until = START_MS + 300
    if moment == "expires_at":
        world.samples.change("good", expires_at=until)
    else:
        rules = next(r for r in world.samples.records if isinstance(r, CompanyRules))
        trial = Trial(networks("198.51.100.0/24"), until)
        world.samples.put(CompanyRules(rules.id, True, None, rules.roles, trial))
    try:
        for _ in range(600):
            world.ask("127.0.0.1", [(b"X-Access-Token", b"{good}"), *USUAL])
            world.clocks.advance(0.001)
    finally:
        world.samples.put(*world.samples.records)
