"""Envoy's questions over gRPC: the same decisions as over HTTP, by a real worker and client."""

import asyncio
import importlib.util
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2 as messages
from envoy.service.auth.v3 import external_auth_pb2_grpc as service

from gatepass.core.errors import Misconfigured
from gatepass.core.networks import parse_network
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.envoy_grpc import EnvoyGrpc, _peer
from gatepass.web.server import supervisor
from tests.support.grants.grant_fixtures import CATALOGUE, Samples
from tests.support.processes.ports import free_port
from tests.support.processes.workers import Worker, ask
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.processes

Check = Callable[..., Any]
IDENTITY = ("permissions", "token", "company", "user", "owner", "external", "kind")


@pytest.fixture(scope="module")
def channel(chosen: Settings) -> Iterator[grpc.Channel]:
    port = free_port()
    with (
        Worker("verify", chosen.with_(grpc_port=port)),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


@pytest.fixture
def check(channel: grpc.Channel) -> Check:
    """Asks as Envoy does; the answer."""
    stub = service.AuthorizationStub(channel)

    def ask(
        *lines: tuple[str, str | bytes],
        method: str = "GET",
        path: str = "/v1/charges/1",
        **more: Any,
    ) -> Any:
        request = messages.CheckRequest()
        # What no decision may depend on.
        request.attributes.source.address.socket_address.address = "198.51.100.7"
        http = request.attributes.request.http
        http.method, http.path, http.host = method, path, more.get("host", "api.example")
        for name, value in {":path": path, ":method": method, **dict(lines)}.items():
            if isinstance(value, str) and not more.get("raw"):
                http.headers[name] = value
        if more.get("raw"):
            for name, value in lines:
                raw = value.encode() if isinstance(value, str) else value
                http.header_map.headers.add(key=name, raw_value=raw)
        for name, value in more.get("both", ()):
            http.header_map.headers.add(key=name, raw_value=value)
        return stub.Check(request, timeout=LIMIT_S)

    return ask


def options(answer: Any) -> dict[str, str]:
    """The headers of an answer, each of which replaces the one that was there."""
    kind = answer.WhichOneof("http_response")
    headers = getattr(answer, kind).headers
    assert all(not each.append.value and each.append_action == 2 for each in headers)
    found = {each.header.key: each.header.value for each in headers}
    assert len(found) == len(headers)
    return found


def reason(answer: Any) -> str:
    """The reason of a refusal, or "allowed"."""
    if answer.WhichOneof("http_response") == "ok_response":
        assert answer.status.code == 0
        return "allowed"
    assert answer.status.code != 0
    return options(answer)["x-gatepass-reason"]


def bearer(samples: Samples, name: str = "good") -> tuple[str, str]:
    return ("authorization", f"Bearer {samples.texts[name]}")


def test_an_allowed_call_carries_the_identity_and_no_secret(
    check: Check, shared_samples: Samples
) -> None:
    forged = (
        *("x_gatepass_user", "x-gatepass_token", "x-gatepass-other", "x-gatepass-user"),
        *("x.gatepass.user", "x-gatepass.token", "x~gatepass~user", "x-gatepass!token"),
    )
    answer = check(bearer(shared_samples), *((name, "forged") for name in forged))
    assert reason(answer) == "allowed"
    headers = options(answer)
    assert set(headers) == {f"x-gatepass-{name}" for name in IDENTITY}
    assert headers["x-gatepass-token"] == shared_samples.grants["good"].id
    assert set(answer.ok_response.headers_to_remove) == {
        *("authorization", "x-access-token", "x-gatepass-reason", "x-gatepass-help"),
        *("x_gatepass_user", "x-gatepass_token", "x-gatepass-other"),
        *("x.gatepass.user", "x-gatepass.token", "x~gatepass~user", "x-gatepass!token"),
    }


@pytest.mark.parametrize("name", ["good", "deactivated", "expired", "poor", "listed", "unknown"])
@pytest.mark.parametrize("path", ["/v1/charges/1?a=b", "/v1//charges", "/nowhere"])
def test_it_is_the_answer_of_the_http_endpoint(
    check: Check, shared_samples: Samples, verify_port: int, name: str, path: str
) -> None:
    lines = [bearer(shared_samples, name), ("x-forwarded-for", "192.0.2.1")]
    answer = check(*lines, path=path)
    http = ask(verify_port, "GET", f"/authz/envoy{path}", lines)
    if http.status == 200:
        assert reason(answer) == "allowed"
        return
    denied, sent = answer.denied_response, dict(http.headers)
    assert (denied.status.code, denied.body.encode()) == (http.status, http.body)
    for header in ("x-gatepass-reason", "x-gatepass-help", "www-authenticate", "content-type"):
        assert options(answer).get(header) == sent.get(header)


@pytest.mark.parametrize(
    ("name", "forwarded", "expected"),
    [
        ("networked", (), "address_not_allowed"),
        ("networked", ("198.51.100.7",), "allowed"),
        ("networked", ("198.51.100.7, 10.0.0.1",), "allowed"),
        ("networked", ("198.51.100.7, 203.0.113.1",), "address_not_allowed"),
        ("networked", ("nonsense",), "address_not_allowed"),
        ("listed", (), "company_address_not_allowed"),
        ("good", (), "allowed"),
    ],
)
def test_an_address_is_the_forwarded_one_and_never_the_peers(
    check: Check, shared_samples: Samples, name: str, forwarded: tuple[str, ...], expected: str
) -> None:
    lines = [("x-forwarded-for", value) for value in forwarded]
    assert reason(check(bearer(shared_samples, name), *lines)) == expected
    assert reason(check(bearer(shared_samples, name), *lines, raw=True)) == expected


def test_repeated_and_unreadable_headers_are_refused(check: Check, shared_samples: Samples) -> None:
    """Envoy joins lines by commas, or sends them as they came; both forms at once it never does."""
    good, other = shared_samples.texts["good"], shared_samples.texts["login"]
    ui = bearer(shared_samples, "ui")
    shop = "https://shop.example.com"
    for lines, expected in (
        ([("authorization", f"Bearer {good},Bearer {other}")], "token_invalid"),
        ([("x-access-token", f"{good},{good}")], "token_invalid"),
        ([("authorization", f"Bearer {good}\u00e9")], "token_invalid"),
        ([ui, ("origin", f"{shop},https://evil.example")], "origin_not_allowed"),
        ([ui, ("referer", f"{shop}/,https://evil.example/")], "origin_not_allowed"),
        ([ui, ("referer", f"{shop}/a,b")], "allowed"),
    ):
        assert reason(check(*lines)) == expected
    for lines, expected in (
        (
            [("authorization", f"Bearer {good}"), ("Authorization", f"Bearer {other}")],
            "token_invalid",
        ),
        ([("authorization", f"Bearer {good}"), ("x-access-token", good)], "allowed"),
        ([("authorization", f"Bearer {good}".encode() + b"\xff")], "token_invalid"),
        ([ui, ("origin", shop), ("origin", shop)], "origin_not_allowed"),
        ([ui, ("origin", shop)], "allowed"),
    ):
        assert reason(check(*lines, raw=True)) == expected
    both = [("authorization", f"Bearer {other}".encode())]
    assert reason(check(("authorization", f"Bearer {good}"), both=both)) == "token_invalid"


def test_a_call_that_is_not_named_is_no_route(check: Check, shared_samples: Samples) -> None:
    for named in ({"path": ""}, {"path": "v1/charges/1"}, {"method": ""}):
        assert reason(check(bearer(shared_samples), **named)) == "route_unknown"
    assert reason(check(bearer(shared_samples), path="/v1/charges/\u00e9")) == "path_ambiguous"


def test_a_pages_call_to_its_own_host_counts_by_envoys_host(
    check: Check, shared_samples: Samples
) -> None:
    """A header of the client's says nothing."""
    own = [bearer(shared_samples, "ui"), ("sec-fetch-site", "same-origin")]
    assert reason(check(*own, host="shop.example.com")) == "allowed"
    forged = ("x-forwarded-host", "shop.example.com")
    assert reason(check(*own, forged, host="evil.example")) == "origin_not_allowed"


def test_the_token_among_sub_protocols_does_not_reach_the_api(
    check: Check, shared_samples: Samples
) -> None:
    protocols = ("sec-websocket-protocol", f"gatepass, {shared_samples.texts['good']}, chat")
    answer = check(("upgrade", "websocket"), protocols)
    assert reason(answer) == "allowed"
    assert options(answer)["sec-websocket-protocol"] == "gatepass, chat"
    assert reason(check(protocols)) == "token_missing"


class Context:
    """Of a call from this machine."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50051"


def test_the_access_log_names_a_refused_token(
    shared_samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints = Endpoints(
        shared_samples.verifier(), TrustedProxies.of(["127.0.0.0/8"]), lambda: None, logged=True
    )
    request = messages.CheckRequest()
    http = request.attributes.request.http
    http.method, http.path = "POST", "/v1/charges/1/refund"
    http.headers["x-access-token"] = shared_samples.texts["good"]
    caplog.set_level(logging.INFO, "gatepass.access")
    answer = asyncio.run(EnvoyGrpc(endpoints).Check(request, Context()))
    assert reason(answer) == "permission_missing"
    assert shared_samples.grants["good"].id not in str(answer)
    token = f"token={shared_samples.grants['good'].id} reason=permission_missing"
    assert token in caplog.text


def test_no_failure_is_an_error_of_the_call(shared_samples: Samples) -> None:
    """Upon one, an Envoy with ``failure_mode_allow`` would let the call pass."""
    stale = Endpoints(
        shared_samples.verifier(copy=True), TrustedProxies.of(["127.0.0.0/8"]), lambda: None
    )
    request = messages.CheckRequest()
    request.attributes.request.http.headers["x-access-token"] = shared_samples.texts["good"]
    for endpoints, status, said in ((stale, 503, "stale"), (None, 500, "internal")):
        answer = asyncio.run(EnvoyGrpc(endpoints).Check(request, Context()))  # type: ignore[arg-type] - a failure on purpose
        assert answer.denied_response.status.code == status
        assert said in answer.denied_response.body


def test_a_question_that_cannot_be_read_is_a_refusal(channel: grpc.Channel) -> None:
    check = channel.unary_unary(
        "/envoy.service.auth.v3.Authorization/Check",
        response_deserializer=messages.CheckResponse.FromString,
    )
    request = messages.CheckRequest()
    request.attributes.request.http.path = "/v1"
    not_utf8 = request.SerializeToString().replace(b"/v1", b"/\xff\xff")
    for content in (b"\xff\xff", not_utf8, b""):
        assert reason(check(content, timeout=LIMIT_S)) == "token_missing"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50051", "127.0.0.1"),
        ("ipv6:%5B::1%5D:50051", "::1"),
        ("ipv6:[2001:db8::1]:50051", "2001:db8::1"),
        ("unix:/run/a.sock", "unix:"),
        ("vsock:1:2", ""),
    ],
)
def test_the_peers_address_is_read(peer: str, address: str) -> None:
    assert _peer(peer) == address


def test_only_trusted_proxies_may_ask(chosen: Settings, shared_samples: Samples) -> None:
    port = free_port()
    strangers = (parse_network("192.0.2.0/24"),)
    with (
        Worker("verify", chosen.with_(grpc_port=port, trusted_proxies=strangers)),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        request = messages.CheckRequest()
        http = request.attributes.request.http
        http.method, http.path = "GET", "/v1/charges/1"
        http.headers["x-access-token"] = shared_samples.texts["good"]
        answer = service.AuthorizationStub(channel).Check(request, timeout=LIMIT_S)
    assert reason(answer) == "peer_not_trusted"


def test_the_start_names_the_missing_extra(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "gatepass.web.gateway.envoy_grpc.find_spec",
        lambda name: None if name == "envoy" else find(name),
    )
    with pytest.raises(Misconfigured) as raised:
        supervisor.serve(chosen.with_(grpc_port=free_port()), CATALOGUE, Clock())
    assert str(raised.value) == (
        "GATEPASS_GRPC_PORT: needs the extra grpc: in a checkout, pip install '.[server,grpc]'"
    )
