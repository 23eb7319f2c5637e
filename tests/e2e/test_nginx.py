"""Runs the configuration of docs/how-to/gateways/nginx.md in nginx, in front of real APIs."""

import json
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from gatepass.verify.freshness import BOOT_CLOCK
from gatepass.verify.replica.frames import Frames, Reached
from tests.support.apps.upstream_apps import RecordedCalls, wsgi_server
from tests.support.gateways.echo_api import EchoApi
from tests.support.gateways.nginx import NGINX
from tests.support.processes.ports import free_port
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.processes.serving import serving
from tests.support.processes.workers import ask
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.nginx

CATALOGUE = """
permissions:
  charges:create:  {routes: ["POST /v1/charges"]}
  charges:get:     {routes: ["GET /v1/charges/{id}"]}
  charges:search:  {routes: ["GET /v1/charges"]}
  charges:discover: {routes: ["OPTIONS /v1/discovery"]}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedInstallation]:
    directory = tmp_path_factory.mktemp("nginx-gatepass")
    catalogue = directory / "its-catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    with ServedInstallation(
        directory, GATEPASS_CATALOGUE=str(catalogue), GATEPASS_VERIFY_SOCKET="verify.sock"
    ) as served:
        yield served


@contextmanager
def gateway(
    served: ServedInstallation,
    api_port: int,
    more: str = "",
    changed: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[dict[str, str]]:
    """nginx with the page's configuration; its addresses, by ``api`` and ``dashboard``.

    Args:
        more: directives before the page's.
        changed: documented text, and its replacement.
    """
    first, dashboard = "upstream gatepass_verify {", free_port()
    with NGINX.running(
        verify=served.verify_port,
        api=api_port,
        changed={first: f"{more}\n{first}", **changed},
        main=served.port,
        dashboard=dashboard,
    ) as url:
        yield {"api": url, "dashboard": f"http://127.0.0.1:{dashboard}"}


@pytest.fixture(scope="module")
def api() -> Iterator[EchoApi]:
    with EchoApi() as api:
        yield api


@pytest.fixture(scope="module")
def ports(served: ServedInstallation, api: EchoApi) -> Iterator[dict[str, str]]:
    """A gateway in front of it."""
    with gateway(served, api.port) as ports:
        yield ports


@pytest.fixture(scope="module")
def recorded() -> Iterator[RecordedCalls]:
    """Django and Flask on a WSGI server, which, like CGI, maps hyphens to underscores."""
    with wsgi_server() as recorded:
        yield recorded


@pytest.fixture(scope="module", params=["as it stands", "underscores on"])
def wsgi_api(
    served: ServedInstallation,
    recorded: RecordedCalls,
    request: pytest.FixtureRequest,
) -> Iterator[str]:
    """The gateway in front of them, with underscores in header names dropped or allowed."""
    more = "underscores_in_headers on;" if request.param == "underscores on" else ""
    with gateway(served, recorded.port, more) as ports:
        yield ports["api"]


def test_nginx_may_ask_over_the_unix_socket(served: ServedInstallation, api: EchoApi) -> None:
    socket_path = served.data / "verify.sock"
    client = served.sign_in()
    changed = {"127.0.0.1:8788": f"unix:{socket_path}"}
    with gateway(served, api.port, changed=changed) as addresses:
        for networks, status in (([], 200), (["127.0.0.0/8"], 200), (["203.0.113.0/24"], 403)):
            made = new_token(client, networks=networks)
            # A client's claim of another address is ignored, as over TCP.
            sent = {"x-access-token": made["token"], "X-Forwarded-For": "203.0.113.9"}
            answer = httpx.get(f"{addresses['api']}/v1/charges/ch_1", headers=sent)
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("/v1/charges", {}, 401, "token_missing"),
        ("/v1/charges", {"Authorization": "Basic eDp5"}, 401, "token_missing"),
        ("/v1/charges", {"Authorization": "Bearer nonsense"}, 401, "token_invalid"),
        ("/v1/nothing", {"x-access-token": "{token}"}, 403, "route_unknown"),
        ("/v1/charges/", {"x-access-token": "{token}"}, 403, "path_ambiguous"),
        ("/v1/charges/a%2Fb", {"x-access-token": "{token}"}, 403, "path_ambiguous"),
        ("/v1/charges/ch_1", {"x-access-token": "{narrow}"}, 403, "permission_missing"),
        ("/v1/charges", {"x-access-token": "{elsewhere}"}, 403, "address_not_allowed"),
    ],
)
def test_every_refusal_names_its_reason_and_never_reaches_the_api(
    served: ServedInstallation,
    ports: dict[str, str],
    path: str,
    headers: dict[str, str],
    status: int,
    reason: str,
) -> None:
    client = served.sign_in()
    texts = {
        "token": new_token(client)["token"],
        "narrow": new_token(client, permissions=["charges:search"])["token"],
        "elsewhere": new_token(client, networks=["203.0.113.0/24"])["token"],
    }
    sent = {name: value.format(**texts) for name, value in headers.items()}
    # A client's claim of another address is ignored.
    sent["X-Forwarded-For"] = "203.0.113.9"
    answer = httpx.get(ports["api"] + path, headers=sent)
    assert answer.status_code == status
    assert answer.json()["reason"] == reason
    assert answer.headers["x-gatepass-reason"] == reason
    help = answer.headers.get("x-gatepass-help")
    assert answer.json().get("help") == help
    assert (help is not None) == (status == 403)
    challenges = answer.headers.get_list("www-authenticate")
    assert len(challenges) == (1 if status == 401 or reason == "permission_missing" else 0)


PREFLIGHT = {
    "Origin": "https://shop.example.com",
    "Access-Control-Request-Method": "DELETE",
    "Access-Control-Request-Headers": "authorization, idempotency-key, sentry-trace",
}


def test_nginx_answers_preflights_and_forwards_none(ports: dict[str, str], api: EchoApi) -> None:
    """A preflight carries no credential, so it must not reach the API."""
    api.reached.clear()
    answer = httpx.request("OPTIONS", f"{ports['api']}/v1/charges/1", headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "DELETE"
    assert answer.headers["access-control-allow-headers"] == (
        "authorization, idempotency-key, sentry-trace"
    )
    assert "access-control-allow-credentials" not in answer.headers
    assert api.reached == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://shop.example.com"},
        {"Access-Control-Request-Method": "GET"},
        {"Origin": "", "Access-Control-Request-Method": "GET"},
        {"Origin": "https://shop.example.com", "Access-Control-Request-Method": ""},
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-Gatepass-User": "usr_forged"},
    ],
)
def test_other_options_requests_are_decided_like_any_call(
    served: ServedInstallation, ports: dict[str, str], api: EchoApi, headers: dict[str, str]
) -> None:
    """Refused without a token; with one, allowed only where the catalogue has the route."""
    api.reached.clear()
    for path in ("/v1/charges/1", "/v1/discovery", "/"):
        answer = httpx.request("OPTIONS", ports["api"] + path, headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (401, "token_missing")
    sent = {**headers, "x-access-token": new_token(served.sign_in())["token"]}
    answer = httpx.request("OPTIONS", f"{ports['api']}/v1/charges/1", headers=sent)
    assert (answer.status_code, answer.json()["reason"]) == (403, "route_unknown")
    assert api.reached == []
    answer = httpx.request("OPTIONS", f"{ports['api']}/v1/discovery", headers=sent)
    assert (answer.status_code, answer.json()["method"]) == (200, "OPTIONS")


def test_an_added_location_is_guarded_too(
    served: ServedInstallation, recorded: RecordedCalls
) -> None:
    """It needs only proxy_pass, because the guard is configured at the server level."""
    first = "    location / {\n        # A preflight"
    added = f"    location /v1/charges/ {{ proxy_pass http://api; }}\n{first}"
    with gateway(served, recorded.port, changed={first: added}) as ports:
        recorded.calls.clear()
        for method in ("GET", "OPTIONS", "POST"):
            answer = httpx.request(method, f"{ports['api']}/v1/charges/1", headers=PREFLIGHT)
            assert answer.status_code == 401
        assert recorded.calls == []
        made = new_token(served.sign_in())
        forged = {"X-Gatepass-User": "forged", "X-HTTP-Method-Override": "DELETE"}
        answer = httpx.get(
            f"{ports['api']}/v1/charges/1",
            headers={"x-access-token": made["token"], "X-Behind": "flask", **forged},
        )
        assert answer.json() == {"by": "flask", "method": "GET", "path": "/v1/charges/1"}
        assert recorded.calls[-1]["HTTP_X_GATEPASS_USER"] == made["created_by"]
        assert made["token"] not in str(recorded.calls)


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_no_framework_executes_a_call_that_was_not_decided(
    served: ServedInstallation, wsgi_api: str, recorded: RecordedCalls, framework: str
) -> None:
    """Neither a function view, which answers any method, nor a method-override middleware gets a
    call without a decision, or with another method or path than the one decided."""
    recorded.calls.clear()
    behind = {"X-Behind": framework}
    for headers in ({}, {"X-HTTP-Method-Override": "DELETE"}, {"Origin": "https://a.example"}):
        refused = httpx.request(
            "OPTIONS", f"{wsgi_api}/v1/charges/1", headers={**behind, **headers}
        )
        assert refused.status_code == 401
    assert recorded.calls == []
    bearer = {"Authorization": f"Bearer {new_token(served.sign_in())['token']}"}
    for name in (
        *("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"),
        *("X_HTTP_Method_Override", "X-HTTP_Method-Override", "X_METHOD_OVERRIDE"),
    ):
        answer = httpx.get(f"{wsgi_api}/v1/charges/1", headers={**behind, **bearer, name: "DELETE"})
        assert answer.json() == {"by": framework, "method": "GET", "path": "/v1/charges/1"}
    for name in ("X-Original-URL", "X-Rewrite-URL", "X_Rewrite_URL", "X-Forwarded-Prefix"):
        httpx.get(f"{wsgi_api}/v1/charges/1", headers={**behind, **bearer, name: "/admin"})
        assert "/admin" not in recorded.calls[-1].values()


@pytest.mark.parametrize(
    "spelling",
    ["X-Gatepass-{}", "X_Gatepass_{}", "X-Gatepass_{}", "x_gatepass-{}", "X_GATEPASS_{}"],
)
def test_no_spelling_of_our_headers_is_forwarded(
    served: ServedInstallation, wsgi_api: str, recorded: RecordedCalls, spelling: str
) -> None:
    """A WSGI server maps all spellings to one name."""
    made = new_token(served.sign_in())
    for header in ("Authorization", "X-Access-Token", "X_Access_Token"):
        secret = f"Bearer {made['token']}" if header == "Authorization" else made["token"]
        forged = {
            spelling.format(name): "forged"
            for name in ("Token", "Company", "User", "Kind", "Permissions", "Reason", "Help")
        }
        answer = httpx.get(
            f"{wsgi_api}/v1/charges/1",
            headers={
                **forged,
                header: secret,
                "X-Forwarded-For": "203.0.113.9",
                "X-Behind": "flask",
            },
        )
        if answer.status_code == 401:
            # nginx dropped the header with the only credential.
            assert header == "X_Access_Token"
            continue
        environ = recorded.calls[-1]
        assert environ["HTTP_X_GATEPASS_USER"] == made["created_by"]
        assert environ["HTTP_X_GATEPASS_TOKEN"] == made["id"]
        assert environ["HTTP_X_GATEPASS_KIND"] == "api"
        assert environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
        assert "forged" not in environ.values()
        assert made["token"] not in str(environ)


def test_very_many_headers_cause_no_error(
    served: ServedInstallation, ports: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers that the decision doesn't need aren't sent to Gatepass."""
    monkeypatch.setattr("http.client._MAXHEADERS", 1_000)  # This API's own limit.
    many = [(f"X-Custom-{number}", "x") for number in range(150)]
    made = new_token(served.sign_in())
    answer = httpx.get(
        f"{ports['api']}/v1/charges", headers=[*many, ("x-access-token", made["token"])]
    )
    assert answer.status_code == 200
    answer = httpx.get(f"{ports['api']}/v1/charges", headers=many)
    assert (answer.status_code, answer.json()["reason"]) == (401, "token_missing")


@pytest.mark.parametrize(
    "name", ["Authorization", "X-Access-Token", "Origin", "Referer", "Sec-Fetch-Site"]
)
@pytest.mark.parametrize("garbage", [b"\x01", b"a\x1fb", b"\x7f", b"\xff", b"\xc3\xa4"])
def test_garbage_in_a_header_is_the_callers_fault(
    served: ServedInstallation, ports: dict[str, str], name: str, garbage: bytes
) -> None:
    """It is refused with 400, 401 or 403, and causes no server error."""
    token = new_token(served.sign_in(), kind="ui")["token"]
    headers = {"Authorization": f"Bearer {token}".encode(), name: garbage}
    answer = httpx.get(f"{ports['api']}/v1/charges", headers=headers)
    assert answer.status_code in (400, 401, 403)


def test_a_page_on_the_apis_own_host_may_call_it(
    served: ServedInstallation, ports: dict[str, str]
) -> None:
    """Its GET has neither Origin nor Referer, but Sec-Fetch-Site and the host."""
    made = new_token(served.sign_in(), kind="ui", domains=["shop.example.com"])
    bearer = {"Authorization": f"Bearer {made['token']}", "Host": "shop.example.com"}
    url = f"{ports['api']}/v1/charges"
    assert httpx.get(url, headers={**bearer, "Sec-Fetch-Site": "same-origin"}).status_code == 200
    for more, reason in [
        ({}, "origin_missing"),
        ({"Sec-Fetch-Site": "cross-site"}, "origin_missing"),
        ({"Sec-Fetch-Site": "same-origin", "Host": "evil.example"}, "origin_not_allowed"),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, "origin_not_allowed"),
        (
            {
                "Sec-Fetch-Site": "same-origin",
                "Host": "evil.example",
                "X-Forwarded-Host": "shop.example.com",
            },
            "origin_not_allowed",
        ),
    ]:
        answer = httpx.get(url, headers={**bearer, **more})
        assert (answer.status_code, answer.json()["reason"]) == (403, reason)


GUNICORN_APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [environ["SCRIPT_NAME"].encode() + b" " + environ["PATH_INFO"].encode()]
"""


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[int]:
    """The port of an unconfigured Gunicorn, whose application answers with its mount path."""
    (tmp_path / "application.py").write_text(GUNICORN_APPLICATION)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{port}", "application"]
    with serving(command, lambda: httpx.get(f"http://127.0.0.1:{port}/"), tmp_path):
        yield port


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script_Name"])
def test_no_caller_sets_an_applications_mount_path(
    served: ServedInstallation, gunicorn: int, name: str
) -> None:
    """Gunicorn accepts SCRIPT_NAME as a header from a local peer: the application would take the
    decided /v1/charges/1 for /1."""
    token = new_token(served.sign_in())["token"]
    more = "underscores_in_headers on;"
    with gateway(served, gunicorn, more) as ports:
        answer = httpx.get(
            f"{ports['api']}/v1/charges/1",
            headers={"x-access-token": token, name: "/v1/charges"},
        )
    assert (answer.status_code, answer.text) == (200, " /v1/charges/1")


def handshake(url: str, **headers: str) -> tuple[int, dict[str, Any]]:
    """Request a WebSocket; the status, and the handshake that reached the API, if any."""
    host, _, port = url.removeprefix("http://").partition(":")
    asked = {
        "Host": host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
        connection.sendall(f"GET /v1/charges/1 HTTP/1.1\r\n{lines}\r\n".encode())
        stream = connection.makefile("rb")
        status = int(stream.readline().split()[1])
        while stream.readline().strip():
            pass
        reached = json.loads(stream.readline())["headers"] if status == 101 else []
        return status, {name.lower(): value for name, value in reached}


def test_a_websocket_may_carry_its_token_among_the_sub_protocols(
    served: ServedInstallation, ports: dict[str, str]
) -> None:
    """The only way for browsers. The API gets its own sub-protocols, and never the token."""
    token = new_token(served.sign_in())["token"]
    for offered, passed in [
        (f"gatepass, {token}", "gatepass"),
        (f"gatepass,{token}", "gatepass"),
        (f"gatepass, {token}, chat, superchat", "gatepass, chat, superchat"),
        # Empty list elements are ignored (RFC 9110, 5.6.1).
        (f"gatepass, {token},", "gatepass"),
        (f"gatepass,{token}, \t", "gatepass"),
    ]:
        status, reached = handshake(ports["api"], Sec_WebSocket_Protocol=offered)
        assert status == 101
        assert reached["sec-websocket-protocol"] == passed
        assert reached["x-gatepass-kind"] == "api"
        assert token not in str(reached)
    status, reached = handshake(
        ports["api"], Sec_WebSocket_Protocol="chat", Authorization=f"Bearer {token}"
    )
    assert (status, reached["sec-websocket-protocol"]) == (101, "chat")
    assert handshake(ports["api"])[0] == 401
    assert handshake(ports["api"], Sec_WebSocket_Protocol="gatepass, rubbish")[0] == 401
    assert handshake(ports["api"], Sec_WebSocket_Protocol=f"chat, gatepass, {token}")[0] == 401


def test_only_websockets_are_upgraded(served: ServedInstallation, ports: dict[str, str]) -> None:
    """A connection upgraded to another HTTP would carry calls without decisions."""
    token = new_token(served.sign_in())["token"]
    bearer = {"Authorization": f"Bearer {token}", "Connection": "Upgrade, HTTP2-Settings"}
    for upgrade in ("h2c", "h2c, websocket", "websocket, h2c", "TLS/1.0"):
        answer = httpx.get(
            f"{ports['api']}/v1/charges",
            headers={**bearer, "Upgrade": upgrade, "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"},
        )
        assert answer.status_code == 200
        assert "upgrade" not in {name.lower() for name, _ in answer.json()["headers"]}
    # Sub-protocols are read only in a handshake.
    answer = httpx.get(
        f"{ports['api']}/v1/charges", headers={"Sec-WebSocket-Protocol": f"gatepass, {token}"}
    )
    assert (answer.status_code, answer.json()["reason"]) == (401, "token_missing")


@pytest.mark.parametrize(
    "line",
    [
        "GET http://127.0.0.1/v1/charges HTTP/1.1",
        "GET //v1/charges HTTP/1.1",
        "GET /v1/charges/../charges HTTP/1.1",
        "GET /%76%31/charges%2F1 HTTP/1.1",
        "GET /v1/charges#x HTTP/1.1",
        "TRACE /v1/charges HTTP/1.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1",
        "get /v1/charges HTTP/1.1",
        "GET /_gatepass HTTP/1.1",
        "GET //_gatepass HTTP/1.1",
        "GET /%5fgatepass HTTP/1.1",
        "GET @refused_401 HTTP/1.1",
        "GET /v1/charges",
    ],
)
def test_no_request_line_reaches_the_api_without_a_token(
    ports: dict[str, str], api: EchoApi, line: str
) -> None:
    """In any form of the request target."""
    api.reached.clear()
    host, _, port = ports["api"].removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
        connection.sendall(f"{line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5"))
    assert api.reached == []


def test_the_dashboard_is_public_and_the_gateways_endpoints_and_figures_are_not(
    ports: dict[str, str],
) -> None:
    assert httpx.get(f"{ports['dashboard']}/sign-in").status_code == 200
    for path in (
        *("/authz/nginx", "/authz/", "/metrics", "/%61uthz/nginx", "/authz%2fnginx"),
        *("//authz/nginx", "/x/../authz/nginx", "/x/%2e%2e/metrics", "/AUTHZ/nginx", "/metric%73"),
        *("/./authz/nginx", "/authz//nginx", "/metrics/", "/authz%252fnginx"),
    ):
        answer = ask(int(ports["dashboard"].rpartition(":")[2]), "GET", path)
        assert answer.status == 404, path
    # The sub-request's location is internal, so it isn't reachable from outside.
    assert httpx.get(f"{ports['api']}/_gatepass").status_code == 404


def test_while_gatepass_is_down_every_call_is_refused(
    served: ServedInstallation, ports: dict[str, str]
) -> None:
    made = new_token(served.sign_in())
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert httpx.get(f"{ports['api']}/v1/charges", headers=bearer).status_code == 200
    served.stop()
    try:
        answer = httpx.get(f"{ports['api']}/v1/charges", headers=bearer)
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    finally:
        served.start()
    assert httpx.get(f"{ports['api']}/v1/charges", headers=bearer).status_code == 200


def test_a_feed_is_forwarded_without_buffering(
    ports: dict[str, str], served: ServedInstallation
) -> None:
    """nginx buffers by default, which would delay heartbeats."""
    asked = {"node": "node_0123456789ABCDEF", "name": "payments-1", "version": "0.1.0"}
    bearer = {"Authorization": f"Bearer {served.verifier_key}"}
    frames = Frames()
    with httpx.stream(
        "GET", f"{ports['dashboard']}/v1/feed", params=asked, headers=bearer, timeout=5
    ) as answer:
        assert answer.status_code == 200
        reached: list[Reached] = []
        for data in answer.iter_raw():
            reached += [each for each in frames.feed(data) if isinstance(each, Reached)]
            if len(reached) >= 3:
                break
    now_ns = time.clock_gettime_ns(BOOT_CLOCK)
    assert now_ns - reached[-1].asked_boot_ns < 3_000_000_000
