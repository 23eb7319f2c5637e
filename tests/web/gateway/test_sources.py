"""Each gateway's endpoint reads one source of the call, and no other's headers."""

from typing import Any

import pytest

from gatepass.core.reason import STATUS
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.sources import path_in
from tests.support.apps.gateway_clients import Ask, asgi, plain
from tests.support.apps.installation import Installation
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import ask as ask_port
from tests.support.vector_files import cases
from tests.web.gateway.test_gateway import HANDSHAKE, IDENTITY, headers_of

FORWARD, INGRESS, ENVOY = "/authz/forward", "/authz/ingress-nginx", "/authz/envoy"
#: What each reads, for a call that may be made.
GOOD: dict[str, dict[str, Any]] = {
    FORWARD: {"X-Forwarded-Uri": "/v1/charges/1?a=b", "X-Forwarded-Method": "GET"},
    INGRESS: {
        "X-Original-URL": "https://api.example.com/v1/charges/1?a=b",
        "X-Original-Method": "GET",
    },
    ENVOY + "/v1/charges/1?a=b": {},
}
#: What others read, for the same call, and for one that may not be made.
OF_OTHERS: dict[str, tuple[str, str]] = {
    "X-Original-URI": ("/v1/charges/1", "/v1/charges/1/refund"),
    "X-Original-Method": ("GET", "POST"),
    "X-Forwarded-Uri": ("/v1/charges/1", "/v1/charges/1/refund"),
    "X-Forwarded-Method": ("GET", "POST"),
    "X-Original-URL": ("https://a.example/v1/charges/1", "https://a.example/v1/charges/1/refund"),
}
NONE = {"X-Original-URI": None, "X-Original-Method": None}


def ask(
    samples: Samples,
    asked: Ask,
    target: str,
    headers: dict[str, Any],
    *,
    method: str = "GET",
    token: str | None = "good",
) -> Any:
    """Ask about a call with *token*, without the headers that nginx sends."""
    return asked(method, target, headers_of(samples, token, NONE | headers), b"")


@pytest.mark.parametrize("target", GOOD)
def test_it_reads_its_own_source_and_no_other(
    shared_samples: Samples, asked: Ask, target: str
) -> None:
    own = GOOD[target]
    others = {name: values for name, values in OF_OTHERS.items() if name not in own}
    for chosen in (0, 1):
        theirs = {name: values[chosen] for name, values in others.items()}
        answer = ask(shared_samples, asked, target, theirs | own)
        assert answer.status == (200 if target.startswith(ENVOY) else 204)
        assert not answer.body
        assert all(answer.header(name) for name in IDENTITY)
    # Without its own, the others' don't count.
    theirs = {name: values[0] for name, values in others.items()}
    for missing in own or (None,):
        rest = {name: value for name, value in own.items() if name != missing}
        bare = target if own else ENVOY
        answer = ask(shared_samples, asked, bare, theirs | rest)
        assert (answer.status, answer.header("x-gatepass-reason")) == (403, "route_unknown")
        assert (missing or "a path behind /authz/envoy") in answer.json["detail"]


#: description, target, headers besides the good ones, method of the request, reason
TABLE: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("repeated", FORWARD, {"X-Forwarded-Uri": ["/v1/charges/1"] * 2}, "GET", "route_unknown"),
    ("methods", FORWARD, {"X-Forwarded-Method": ["GET"] * 2}, "GET", "route_unknown"),
    ("empty", FORWARD, {"X-Forwarded-Uri": ""}, "GET", "route_unknown"),
    ("not ASCII", FORWARD, {"X-Forwarded-Uri": b"/v1/charges/\xff"}, "GET", "path_ambiguous"),
    ("a whole URL", FORWARD, {"X-Forwarded-Uri": "http://a/v1/charges/1"}, "GET",
     "path_ambiguous"),
    ("with underscores", FORWARD,
     {"X-Forwarded-Uri": None, "X_Forwarded_Uri": "/v1/charges/1"}, "GET", "route_unknown"),
    ("the sub-request's own method", FORWARD, {}, "DELETE", "allowed"),
    ("HEAD", FORWARD, {"X-Forwarded-Method": "HEAD"}, "GET", "allowed"),
    ("a POST", FORWARD, {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/v1/charges"}, "GET",
     "allowed"),
    ("not held", FORWARD,
     {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/v1/charges/1/refund"}, "GET",
     "permission_missing"),
    ("http", INGRESS, {"X-Original-URL": "http://a/v1/charges/1"}, "GET", "allowed"),
    ("a port", INGRESS, {"X-Original-URL": "http://a.example:8080/v1/charges/1"}, "GET", "allowed"),
    ("repeated URLs", INGRESS, {"X-Original-URL": ["https://a/v1/charges/1"] * 2}, "GET",
     "route_unknown"),
    ("an empty URL", INGRESS, {"X-Original-URL": ""}, "GET", "route_unknown"),
    ("a path", INGRESS, {"X-Original-URL": "/v1/charges/1"}, "GET", "path_ambiguous"),
    ("a URL that is not ASCII", INGRESS, {"X-Original-URL": b"https://a/v1/charges/\xff"}, "GET",
     "path_ambiguous"),
    ("two slashes", INGRESS, {"X-Original-URL": "https://a//v1/charges/1"}, "GET",
     "path_ambiguous"),
    ("a client's host that ends the authority", INGRESS,
     {"X-Original-URL": "https://a/v1/charges/1?/v1/charges/1/refund"}, "GET", "allowed"),
    ("HEAD is its own method", ENVOY + "/v1/charges/1", {}, "HEAD", "allowed"),
    ("POST is its own method", ENVOY + "/v1/charges", {}, "POST", "allowed"),
    ("a method without a route", ENVOY + "/v1/charges/1", {}, "DELETE", "route_unknown"),
    ("OPTIONS", ENVOY + "/v1/charges/1", {}, "OPTIONS", "route_unknown"),
    ("not held either", ENVOY + "/v1/charges/1/refund", {}, "POST", "permission_missing"),
    ("an encoded slash", ENVOY + "/v1/charges/1%2F2", {}, "GET", "path_ambiguous"),
    ("a needless escape", ENVOY + "/v1/%63harges/1", {}, "GET", "allowed"),
    ("encoded twice", ENVOY + "/v1/charges/1%252F2", {}, "GET", "path_ambiguous"),
    ("two slashes behind", ENVOY + "//v1/charges/1", {}, "GET", "path_ambiguous"),
    ("a slash at the end", ENVOY + "/v1/charges/1/", {}, "GET", "path_ambiguous"),
    ("encoded dots", ENVOY + "/%2e%2e/nginx", {}, "GET", "path_ambiguous"),
    ("another endpoint in the path", ENVOY + "/authz/nginx", {}, "GET", "route_unknown"),
    ("a query alone", ENVOY + "?/v1/charges/1", {}, "GET", "route_unknown"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "others", "method", "reason"),
    [pytest.param(*case[1:], id=case[0]) for case in TABLE],
)
def test_the_decision(
    shared_samples: Samples,
    asked: Ask,
    target: str,
    others: dict[str, Any],
    method: str,
    reason: str,
) -> None:
    answer = ask(shared_samples, asked, target, GOOD.get(target, {}) | others, method=method)
    if reason == "allowed":
        assert answer.status == (200 if target.startswith(ENVOY) else 204)
        return
    assert answer.status == STATUS[reason]  # type: ignore[index] # a reason is its word
    assert answer.header("x-gatepass-reason") == reason
    assert answer.header("x-gatepass-token") is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example/", "/"),
        ("http://a_b.example:8080/x?y#z", "/x?y#z"),
        ("https://[2001:db8::1]:443/x", "/x"),
        ("https://a.example//x", "//x"),
        ("https://a.example", None),
        ("https://a.example?/x", None),
        ("https://a.example#/x", None),
        ("https:///x", None),
        ("https:/a.example/x", None),
        ("https:a.example/x", None),
        ("HTTPS://a.example/x", None),
        ("ftp://a.example/x", None),
        ("//a.example/x", None),
        ("/x", None),
        ("https://u@a.example/x", None),
        ("https://a\\b/x", None),
        ("https://a%2fb/x", None),
        (" https://a.example/x", None),
        ("https://a.example /x", None),
        ("", None),
    ],
)
def test_the_path_of_a_url(url: str, path: str | None) -> None:
    """What could be read in two ways is no URL: a client chooses the host."""
    assert path_in(url) == path


@pytest.mark.parametrize("way", [plain, asgi])
def test_without_a_forwarded_address_there_is_none(shared_samples: Samples, way: Any) -> None:
    """The peer is the gateway; only nginx's endpoint takes it for the client."""
    trusted = TrustedProxies.of(["198.51.100.0/24"])
    asked = way(Endpoints(shared_samples.verifier(), trusted, lambda: None), "198.51.100.7")
    for target, own in GOOD.items():
        for token, forwarded, reason in (
            ("networked", None, "address_not_allowed"),
            ("networked", "198.51.100.9", None),
            ("networked", "203.0.113.9", "address_not_allowed"),
            ("networked", "?", "address_not_allowed"),
            ("good", None, None),
        ):
            headers = own | {"X-Forwarded-For": forwarded}
            answer = ask(shared_samples, asked, target, headers, token=token)
            assert answer.header("x-gatepass-reason") == reason
    at_nginx = headers_of(shared_samples, "networked", {"X-Forwarded-For": None})
    assert asked("GET", "/authz/nginx", at_nginx, b"").status == 204


@pytest.mark.parametrize("target", GOOD)
def test_who_may_ask_and_with_what(shared_samples: Samples, asked: Ask, target: str) -> None:
    """As at nginx's endpoint."""
    own = GOOD[target]
    for token, headers, reason in (
        (None, {}, "token_missing"),
        ("expired", {}, "token_expired"),
        ("good", {"X-Access-Token": "login"}, "token_invalid"),
        ("ui", {"Origin": "https://example.net"}, "origin_not_allowed"),
        (None, HANDSHAKE, None),
    ):
        answer = ask(shared_samples, asked, target, own | headers, token=token)
        assert answer.header("x-gatepass-reason") == reason


def test_strangers_may_not_ask(
    shared_samples: Samples, endpoints: Endpoints, caplog: pytest.LogCaptureFixture
) -> None:
    for target, own in GOOD.items():
        for way in (plain, asgi):
            answer = ask(shared_samples, way(endpoints, "203.0.113.9"), target, own)
            assert answer.header("x-gatepass-reason") == "peer_not_trusted"
    (line,) = caplog.messages
    assert "'/authz/forward'" in line


@pytest.mark.parametrize(
    "path", ["/authz/envoyx", "/authz/forward/", "/authz/forward/x", "/authz/%65nvoy/v1/charges/1"]
)
def test_other_paths_are_404(shared_samples: Samples, port: int, path: str) -> None:
    """A gateway would take 2xx for "allowed"."""
    headers = headers_of(shared_samples, "good", NONE | GOOD[FORWARD])
    assert ask_port(port, "GET", path, headers).status == 404


@pytest.mark.parametrize("sent", cases("gateways.yaml", "requests"))
def test_requests_as_gateways_send_them(
    shared_samples: Samples, asked: Ask, sent: dict[str, Any]
) -> None:
    """The call that the client made is decided, whatever it sent to be taken for another."""
    headers = [
        (name, value.replace("{token}", shared_samples.texts["networked"]))
        for name, value in sent["headers"]
    ]
    answer = asked(sent["method"], sent["target"], headers, b"")
    assert (answer.header("x-gatepass-reason") or "allowed") == sent["reason"]


def test_a_missing_address_is_logged_where_it_matters(
    shared_samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    """To people who look at refusals it would look as if strangers had their tokens."""
    trusted = TrustedProxies.of(["198.51.100.0/24"])
    asked = plain(Endpoints(shared_samples.verifier(), trusted, lambda: None), "198.51.100.7")
    for token, forwarded in (("good", None), ("networked", "203.0.113.9")):
        headers = GOOD[FORWARD] | {"X-Forwarded-For": forwarded}
        ask(shared_samples, asked, FORWARD, headers, token=token)
    assert caplog.messages == []
    for _ in range(2):
        headers = GOOD[FORWARD] | {"X-Forwarded-For": None}
        ask(shared_samples, asked, FORWARD, headers, token="networked")
    [line] = caplog.messages
    assert "'198.51.100.7' doesn't send X-Forwarded-For" in line
    assert "'address_not_allowed'" in line


def test_a_missing_source_is_counted(installation: Installation) -> None:
    """Once for each question; not those that are refused for another reason."""
    client = installation.client(installation.access_token("charges:get"))
    for target, headers in (
        ("/authz/forward", GOOD[FORWARD]),
        ("/authz/forward", {}),
        ("/authz/ingress-nginx", {"X-Original-Method": "GET"}),
        ("/authz/envoy", {}),
        ("/authz/nginx", {}),
        ("/authz/envoy/nowhere", {}),
    ):
        client.get(target, headers=headers)
    metrics = installation.client().get("/metrics").text
    assert "\ngatepass_gateway_misconfigured_total 4.0\n" in metrics
