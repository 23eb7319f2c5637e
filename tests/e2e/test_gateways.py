"""The configuration of each gateway's page, in the real gateway, against what a client may try."""

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

import httpx
import pytest

from gatepass.core.reason import STATUS
from tests.support.gateways.echo_api import EchoApi, Reached
from tests.support.gateways.every import GATEWAYS
from tests.support.gateways.gateway import NOTHING, Gateway
from tests.support.gateways.probes import (
    ALLOWED,
    CATALOGUE,
    CLIENT,
    DECIDED,
    ELSEWHERE,
    FORGED,
    IDENTITY,
    PREFLIGHT,
    PROBES,
    REFUSED,
    TOKENS,
    Probe,
)
from tests.support.processes.ports import free_port
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.processes.workers import Answer, ask
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.nginx

#: Gateways whose configuration passes no handshake of a WebSocket on.
NO_WEBSOCKETS = {"envoy", "envoy, Over gRPC", "ingress-nginx", "apisix"}
#: Those that don't ask with the sub-protocols.
NO_SUBPROTOCOLS = {"traefik"}
#: Those that wait for an answer for half a minute or more, and have no setting for it.
NO_TIMEOUT = {"traefik", "ingress-nginx"}
#: Those that take HTTP/2 without TLS.
HTTP2 = {"caddy", "traefik", "envoy", "envoy, Over gRPC", "haproxy"}
#: Those that answer any OPTIONS as a preflight.
ALL_OPTIONS = {"ingress-nginx", "apisix"}
#: Those that tell a client the status of a refusal, and not the reason.
NO_REASONS = {"ingress-nginx"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedInstallation]:
    directory = tmp_path_factory.mktemp("behind-gateways")
    catalogue = directory / "its-catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    with ServedInstallation(
        directory,
        GATEPASS_CATALOGUE=str(catalogue),
        GATEPASS_TRUSTED_PROXIES="127.0.0.1",
        GATEPASS_GRPC_PORT=str(free_port()),
    ) as served:
        yield served


def asked(served: ServedInstallation) -> dict[str, int]:
    """Gatepass's ports, as gateways name them."""
    grpc = int(served.environ["GATEPASS_GRPC_PORT"])
    return {"verify": served.verify_port, "main": served.port, "grpc": grpc}


@pytest.fixture(scope="module")
def administrator(served: ServedInstallation) -> Iterator[httpx.Client]:
    with served.sign_in() as client:
        yield client


@pytest.fixture(scope="module")
def tokens(administrator: httpx.Client) -> dict[str, dict[str, str]]:
    """``TOKENS``, as the REST API answered."""
    made = {name: new_token(administrator, **fields) for name, fields in TOKENS.items()}
    deactivate(administrator, made["deactivated"])
    return made


def deactivate(administrator: httpx.Client, token: dict[str, str]) -> None:
    administrator.post(f"/v1/access-tokens/{token['id']}/deactivate").raise_for_status()


@pytest.fixture(scope="module")
def api() -> Iterator[EchoApi]:
    with EchoApi() as api:
        yield api


@pytest.fixture(scope="module", params=GATEWAYS)
def gateway(request: pytest.FixtureRequest) -> Gateway:
    return GATEWAYS[request.param]


@contextlib.contextmanager
def running(
    gateway: Gateway, api: EchoApi, *, changed: Mapping[str, str] = NOTHING, **ports: int
) -> Iterator[int]:
    """The port of the gateway."""
    ports["dashboard"] = free_port()
    with gateway.running(api=api.port, changed=changed, **ports) as url:
        yield int(url.rpartition(":")[2])


@pytest.fixture(scope="module")
def port(gateway: Gateway, served: ServedInstallation, api: EchoApi) -> Iterator[int]:
    with running(gateway, api, **asked(served)) as port:
        yield port


def send(port: int, probe: Probe, tokens: dict[str, dict[str, str]]) -> Answer:
    method, headers = _request(probe, tokens)
    return ask(port, method, probe.target, headers, probe.body, client=CLIENT)


def _request(probe: Probe, tokens: dict[str, dict[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    """Its method and headers."""
    texts = {name: made["token"] for name, made in tokens.items()}
    bearer = (("Authorization", f"Bearer {texts[probe.token]}"),) if probe.token else ()
    headers = [(name, value.format(**texts)) for name, value in (*bearer, *probe.headers)]
    return "OPTIONS" if probe.outcome == PREFLIGHT else probe.method, headers


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_what_a_client_may_try(
    gateway: Gateway, port: int, api: EchoApi, tokens: dict[str, dict[str, str]], probe: Probe
) -> None:
    _comes_of_it(gateway, port, api, tokens, probe)


def test_over_http2_the_same_comes_of_it(
    gateway: Gateway, port: int, api: EchoApi, tokens: dict[str, dict[str, str]]
) -> None:
    if gateway.name not in HTTP2:
        return
    of_a_connection = {"connection"}
    for probe in PROBES:
        # Clients of HTTP/2 send no such header, and :path is no whole URL.
        names = {name.lower() for name, _ in probe.headers}
        if not names & of_a_connection and probe.target.startswith("/"):
            _comes_of_it(gateway, port, api, tokens, probe, send_over_http2)


def send_over_http2(port: int, probe: Probe, tokens: dict[str, dict[str, str]]) -> Answer:
    method, headers = _request(probe, tokens)
    transport = httpx.HTTPTransport(http1=False, http2=True, local_address=CLIENT)
    with httpx.Client(transport=transport) as client:
        answer = client.request(
            method,
            f"http://127.0.0.1:{port}/",
            headers=headers,
            content=probe.body or None,
            extensions={"target": probe.target.encode()},
        )
    assert answer.http_version == "HTTP/2"
    return Answer(answer.status_code, answer.headers.multi_items(), answer.content)


def _comes_of_it(
    gateway: Gateway,
    port: int,
    api: EchoApi,
    tokens: dict[str, dict[str, str]],
    probe: Probe,
    send: Callable[[int, Probe, dict[str, dict[str, str]]], Answer] = send,
) -> None:
    api.reached.clear()
    answer = send(port, probe, tokens)
    reached = list(api.reached)
    if probe.method == "OPTIONS" and gateway.name in ALL_OPTIONS:
        assert answer.status in (200, 204)
        assert reached == []
        return
    if probe.outcome == PREFLIGHT:
        assert answer.status in (200, 204)
        assert reached == []
        assert answer.header("access-control-allow-origin") in ("*", "https://shop.example.com")
        assert "DELETE" in (answer.header("access-control-allow-methods") or "")
    elif probe.outcome == ALLOWED or (probe.outcome == DECIDED and reached):
        assert answer.status == 200
        (request,) = reached
        assert request.method == probe.method
        assert request.body == probe.body.decode()
        if probe.outcome == ALLOWED:
            assert request.target == probe.target
        else:
            assert unquote(re.sub("^http://[^/]*", "", request.target)) == "/v1/charges"
        _names_the_caller_alone(request, tokens, probe.token or "token")
    else:
        assert reached == []
        assert 400 <= answer.status < 500
        if probe.outcome not in (REFUSED, DECIDED):
            _says_why(gateway, answer, probe.outcome)


def _names_the_caller_alone(
    request: Reached, tokens: dict[str, dict[str, str]], token: str
) -> None:
    """As a server reads it for which all separators in a name are one."""
    read: dict[str, list[str]] = {}
    for name, value in request.headers:
        read.setdefault(re.sub("[^a-z0-9]", "-", name.lower()), []).append(value)
    # Claims of the client, which ingress-nginx passes on as such.
    read.pop("x-original-forwarded-for", None)
    read.pop("x-original-forwarded-host", None)
    made = tokens[token]
    told = {name: read.pop(f"x-gatepass-{name}", []) for name in IDENTITY}
    assert told["token"] == [made["id"]]
    assert told["user"] == told["owner"] == [made["created_by"]]
    assert told["kind"] == [made["kind"]]
    assert told["external"] == ["-"]
    assert len(told["company"]) == len(told["permissions"]) == 1
    assert not [name for name in read if "gatepass" in name]
    assert not {"authorization", "x-access-token"} & read.keys()
    assert read.get("x-forwarded-for", []) in ([], [CLIENT])
    values = " ".join(value for values in read.values() for value in values)
    for never in (
        FORGED,
        ELSEWHERE,
        "DELETE",
        "refunds",
        *(each["token"] for each in tokens.values()),
    ):
        assert never not in values


def _says_why(gateway: Gateway, answer: Answer, reason: str) -> None:
    assert answer.status == STATUS[reason]  # type: ignore[index] # a reason is its word
    told = gateway.name not in NO_REASONS
    challenges = [value for name, value in answer.headers if name == "www-authenticate"]
    challenged = answer.status == 401 or (told and reason == "permission_missing")
    assert len(challenges) == (1 if challenged else 0)
    if not told:
        return
    assert answer.headers.count(("x-gatepass-reason", reason)) == 1
    if challenged:
        assert challenges[0].startswith("Bearer ")
    assert answer.header("content-type") == "application/problem+json"
    assert json.loads(answer.body)["reason"] == reason
    assert answer.header("cache-control") == "no-store"


def test_pages_of_any_origin_may_read_the_answers(
    port: int, api: EchoApi, tokens: dict[str, dict[str, str]]
) -> None:
    """Also refusals, so that a page can show why. The API's own header isn't repeated."""
    page = (("Origin", "https://shop.example.com"),)
    for probe in (
        Probe("", ALLOWED, headers=page),
        Probe("", "", "", headers=page),
        Probe("", "", headers=page, target="/v1/nothing"),
    ):
        answer = send(port, probe, tokens)
        origins = [value for name, value in answer.headers if name == "access-control-allow-origin"]
        assert origins in (["*"], ["https://shop.example.com"])


def test_a_deactivated_token_is_refused_on_the_very_next_call(
    gateway: Gateway, port: int, administrator: httpx.Client
) -> None:
    asked = Probe("", "", "made")
    for _ in range(3):
        made = new_token(administrator)
        assert send(port, asked, {"made": made}).status == 200
        deactivate(administrator, made)
        _says_why(gateway, send(port, asked, {"made": made}), "token_deactivated")


HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


def handshake(port: int, *headers: tuple[str, str]) -> int:
    """The status of a WebSocket's handshake."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*HANDSHAKE, *headers))
    with socket.create_connection(("127.0.0.1", port), LIMIT_S, (CLIENT, 0)) as connection:
        request = f"GET /v1/charges HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n"
        connection.sendall(request.encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_a_websocket_is_decided_like_any_call(
    gateway: Gateway, port: int, api: EchoApi, tokens: dict[str, dict[str, str]]
) -> None:
    """Its token may be the second sub-protocol, as browsers need. The API never gets that."""
    token = tokens["token"]["token"]
    offered = ("Sec-WebSocket-Protocol", f"gatepass, {token}, chat")
    api.reached.clear()
    assert handshake(port) in (401, 403)
    assert handshake(port, ("Sec-WebSocket-Protocol", "gatepass, rubbish")) in (401, 403)
    assert api.reached == []
    accepted = handshake(port, ("Authorization", f"Bearer {token}"))
    by_protocol = handshake(port, offered)
    if gateway.name in NO_WEBSOCKETS:
        assert accepted in (200, 403)
        assert by_protocol in (401, 403)
        return
    assert accepted == 101
    if gateway.name in NO_SUBPROTOCOLS:
        assert (by_protocol, len(api.reached)) == (401, 1)
        return
    assert by_protocol == 101
    assert [request.values("sec-websocket-protocol") for request in api.reached] == [
        [],
        ["gatepass, chat"],
    ]
    for request in api.reached:
        _names_the_caller_alone(request, tokens, "token")


def test_only_websockets_are_upgraded(
    port: int, api: EchoApi, tokens: dict[str, dict[str, str]]
) -> None:
    """A connection upgraded to another HTTP would carry calls without decisions."""
    for upgrade in ("h2c", "h2c, websocket", "TLS/1.0"):
        api.reached.clear()
        headers = (("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", upgrade))
        settings = ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
        answer = send(port, Probe("", "", headers=(*headers, settings)), tokens)
        assert answer.status == 200 or 400 <= answer.status < 500
        for request in api.reached:
            listed = " ".join(request.values("connection")).lower()
            assert "upgrade" not in listed or request.values("upgrade") == []


def test_envoy_passes_on_over_grpc_what_its_page_lets_one_add(
    served: ServedInstallation, api: EchoApi, tokens: dict[str, dict[str, str]]
) -> None:
    """Lines as they came, and WebSockets, whose token the API never gets."""
    gateway = GATEWAYS["envoy, Over gRPC"]
    added = {
        "failure_mode_allow: false": "    encode_raw_headers: true",
        "stat_prefix: api": "upgrade_configs: [{upgrade_type: websocket}]",
    }
    changed = {line: f"{line}\n          {more}" for line, more in added.items()}
    offered = f"gatepass, {tokens['token']['token']}, chat"
    with running(gateway, api, changed=changed, **asked(served)) as port:
        for probe in PROBES:
            _comes_of_it(gateway, port, api, tokens, probe)
        api.reached.clear()
        assert handshake(port) == 401
        assert handshake(port, ("Sec-WebSocket-Protocol", offered)) == 101
    (request,) = api.reached
    assert request.values("sec-websocket-protocol") == ["gatepass, chat"]
    _names_the_caller_alone(request, tokens, "token")


def test_over_grpc_gatepass_itself_has_forged_headers_removed(
    served: ServedInstallation, api: EchoApi, tokens: dict[str, dict[str, str]]
) -> None:
    """Also where Envoy's own configuration doesn't remove them."""
    gateway = GATEWAYS["envoy, Over gRPC"]
    changed = {"x-gatepass-.*|.*[^a-z0-9:-].*": "x-none"}
    with running(gateway, api, changed=changed, **asked(served)) as port:
        for probe in PROBES:
            if probe.name.startswith("a forged caller"):
                _comes_of_it(gateway, port, api, tokens, probe)


@pytest.mark.parametrize("silent", [False, True], ids=["away", "silent"])
def test_without_gatepass_no_call_is_let_through(
    gateway: Gateway, api: EchoApi, tokens: dict[str, dict[str, str]], silent: bool
) -> None:
    if silent and gateway.name in NO_TIMEOUT:
        return
    with socket.socket() as gatepass:
        gatepass.bind(("127.0.0.1", 0))
        if silent:
            # The system accepts connections; no one answers.
            gatepass.listen()
        away = gatepass.getsockname()[1]
        with running(gateway, api, verify=away, main=away, grpc=away) as port:
            api.reached.clear()
            answer = send(port, Probe("", ""), tokens)
    assert 500 <= answer.status < 600
    assert api.reached == []


@pytest.mark.parametrize(
    ("gateway", "line"),
    [
        (GATEWAYS["haproxy"], "    local received = txn.http:req_get_headers()"),
        (GATEWAYS["haproxy"], '        txn:set_var("txn.gatepass_allowed", true)'),
        (GATEWAYS["apache"], "    local question = {"),
        (GATEWAYS["apache"], "        return apache2.DECLINED"),
        (GATEWAYS["kong"], "        local question = {"),
        (GATEWAYS["kong"], "        local offered ="),
    ],
    ids=[
        *("haproxy asks", "haproxy allows", "apache asks", "apache allows"),
        *("kong asks", "kong allows"),
    ],
)
def test_an_error_in_lua_lets_nobody_in(
    served: ServedInstallation,
    api: EchoApi,
    tokens: dict[str, dict[str, str]],
    gateway: Gateway,
    line: str,
) -> None:
    indent = " " * (len(line) - len(line.lstrip()))
    changed = {line: f'{indent}error("a mistake")\n{line}'}
    with running(gateway, api, changed=changed, **asked(served)) as port:
        api.reached.clear()
        answer = send(port, Probe("", ""), tokens)
    assert 500 <= answer.status < 600
    assert api.reached == []
