"""docs/nginx.md, run as it stands there, with a real nginx in front of a real API."""

import http.server
import json
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from gatepass.verify.frames import Frames, Reached
from gatepass.verify.freshness import BOOT_CLOCK
from nginx import Nginx
from running import Running, free_port, new_token


class Api(http.server.BaseHTTPRequestHandler):
    """The API behind nginx: tells what reached it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.command == "POST":
            self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps(
            {
                "method": self.command,
                "path": self.path,
                "headers": {k.lower(): v for k, v in self.headers.items()},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET
    do_OPTIONS = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("nginx-gatepass")) as running:
        yield running


@pytest.fixture(scope="module")
def ports(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """nginx with the page's configuration, only ports replaced: ``api`` and ``dashboard``."""
    api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    front, dashboard = free_port(), free_port()
    addresses = {
        "127.0.0.1:8788": f"127.0.0.1:{running.verify_port}",
        "127.0.0.1:8787": f"127.0.0.1:{running.port}",
        "127.0.0.1:9000": f"127.0.0.1:{api.server_port}",
        "127.0.0.1:8080": f"127.0.0.1:{front}",
        "127.0.0.1:8081": f"127.0.0.1:{dashboard}",
    }
    directory = tmp_path_factory.mktemp("nginx")
    with Nginx(directory, "nginx.md", addresses, f"127.0.0.1:{front}") as nginx:
        yield {
            "api": f"http://127.0.0.1:{front}",
            "dashboard": f"http://127.0.0.1:{dashboard}",
            "error_log": str(nginx.error_log),
        }
    api.shutdown()


def test_a_permitted_call_reaches_the_api_with_who_it_was_and_without_the_secret(
    running: Running, ports: dict[str, str]
) -> None:
    made = new_token(running.sign_in())
    answer = httpx.get(
        f"{ports['api']}/v1/charges/ch_1?expand=all",
        headers={
            "Authorization": f"Bearer {made['token']}",
            "X-Gatepass-User": "usr_forged",
            "X-Gatepass-Permissions": "everything",
        },
    )
    assert answer.status_code == 200
    reached = answer.json()
    assert reached["path"] == "/v1/charges/ch_1?expand=all"
    assert reached["headers"]["x-gatepass-token"] == made["id"]
    assert reached["headers"]["x-gatepass-user"] == made["created_by"]
    assert reached["headers"]["x-gatepass-kind"] == "api"
    assert reached["headers"]["x-gatepass-permissions"] == "charges:*"
    assert made["token"] not in answer.text


def test_post_bodies_arrive_whole(running: Running, ports: dict[str, str]) -> None:
    made = new_token(running.sign_in())
    answer = httpx.post(
        f"{ports['api']}/v1/charges",
        headers={"x-access-token": made["token"]},
        content=b"x" * 100_000,
    )
    assert answer.status_code == 200
    assert answer.json()["headers"]["content-length"] == "100000"


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
    running: Running,
    ports: dict[str, str],
    path: str,
    headers: dict[str, str],
    status: int,
    reason: str,
) -> None:
    client = running.sign_in()
    texts = {
        "token": new_token(client)["token"],
        "narrow": new_token(client, permissions=["charges:search"])["token"],
        "elsewhere": new_token(client, networks=["203.0.113.0/24"])["token"],
    }
    sent = {name: value.format(**texts) for name, value in headers.items()}
    # A client that names another address for itself isn't believed.
    sent["X-Forwarded-For"] = "203.0.113.9"
    answer = httpx.get(ports["api"] + path, headers=sent)
    assert answer.status_code == status
    assert answer.json()["reason"] == reason
    assert answer.headers["x-gatepass-reason"] == reason
    assert ("www-authenticate" in answer.headers) == (
        status == 401 or reason == "permission_missing"
    )


def test_a_deactivated_token_is_refused_on_the_very_next_call(
    running: Running, ports: dict[str, str]
) -> None:
    client = running.sign_in()
    for _ in range(20):
        made = new_token(client)
        bearer = {"Authorization": f"Bearer {made['token']}"}
        assert httpx.get(f"{ports['api']}/v1/charges", headers=bearer).status_code == 200
        assert client.post(f"/v1/access-tokens/{made['id']}/deactivate").status_code == 200
        refused = httpx.get(f"{ports['api']}/v1/charges", headers=bearer)
        assert (refused.status_code, refused.json()["reason"]) == (401, "token_deactivated")


def test_a_preflight_is_answered_by_the_api_itself(ports: dict[str, str]) -> None:
    answer = httpx.request(
        "OPTIONS", f"{ports['api']}/v1/charges", headers={"X-Gatepass-User": "usr_forged"}
    )
    assert answer.status_code == 200
    assert answer.json()["method"] == "OPTIONS"
    assert not any(name.startswith("x-gatepass") for name in answer.json()["headers"])


def test_the_dashboard_is_public_and_the_gateways_endpoints_and_figures_are_not(
    ports: dict[str, str],
) -> None:
    assert httpx.get(f"{ports['dashboard']}/sign-in").status_code == 200
    for path in ("/authz/nginx", "/authz/", "/metrics"):
        assert httpx.get(ports["dashboard"] + path).status_code == 404
    # Nor does the sub-request's own location answer anyone from outside.
    assert httpx.get(f"{ports['api']}/_gatepass").status_code == 404


def test_when_gatepass_is_gone_nothing_gets_through(
    running: Running, ports: dict[str, str]
) -> None:
    made = new_token(running.sign_in())
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert httpx.get(f"{ports['api']}/v1/charges", headers=bearer).status_code == 200
    running.stop()
    try:
        answer = httpx.get(f"{ports['api']}/v1/charges", headers=bearer)
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    finally:
        running.start()
    assert httpx.get(f"{ports['api']}/v1/charges", headers=bearer).status_code == 200


def test_a_feed_passes_as_it_comes(ports: dict[str, str], running: Running) -> None:
    """nginx holds nothing back, though it buffers by default: a heartbeat is worth its time."""
    asked = {"node": "node_0123456789ABCDEF", "name": "payments-1", "version": "0.1.0"}
    bearer = {"Authorization": f"Bearer {running.verifier_key}"}
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
