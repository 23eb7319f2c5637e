"""``/authz/…``: the gateway's questions and the answers."""

from typing import Any

import pytest

from gatepass.core.grants import EXTERNAL, Holder
from gatepass.core.reason import STATUS
from gatepass.settings import DEFAULT_PUBLIC_URL
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.gateway.endpoints import LONGEST_PERMISSIONS, Endpoints
from tests.support.apps.gateway_clients import GATEWAY, Ask, asgi, plain
from tests.support.grants.grant_fixtures import MANY, Samples
from tests.support.processes.workers import ask

IDENTITY = tuple(
    f"x-gatepass-{name}"
    for name in ("token", "company", "user", "owner", "external", "kind", "permissions")
)

#: A page's GET to its own host, with neither Origin nor Referer.
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-Host": "shop.example.com"}
#: A browser's WebSocket, which can't send a token in another way.
HANDSHAKE = {"Upgrade": "websocket", "Sec-WebSocket-Protocol": "gatepass, good"}

#: description, token, headers besides the usual ones (None: omitted; a list: lines), answer
TABLE: list[tuple[str, str | None, dict[str, Any], str]] = [
    ("what is held is allowed", "good", {}, "allowed"),
    ("a login too", "login", {}, "allowed"),
    ("a wildcard", "wide", {}, "allowed"),
    ("HEAD counts as GET", "good", {"X-Original-Method": "HEAD"}, "allowed"),
    ("the query is never looked at", "good", {"X-Original-URI": "/v1/charges/1?/../%"}, "allowed"),
    ("POST", "good", {"X-Original-Method": "POST", "X-Original-URI": "/v1/charges"}, "allowed"),
    ("no token", None, {}, "token_missing"),
    ("an empty one", "empty", {}, "token_missing"),
    ("another scheme", None, {"Authorization": "Basic dTpw"}, "token_missing"),
    ("unknown", "unknown", {}, "token_invalid"),
    ("a wrong secret", "wrong secret", {}, "token_invalid"),
    ("a bad checksum", "bad checksum", {}, "token_invalid"),
    ("an invitation", "invitation", {}, "token_invalid"),
    ("a password reset", "reset", {}, "token_invalid"),
    ("a change of an address", "email change", {}, "token_invalid"),
    ("a verifier key", "verifier", {}, "token_invalid"),
    ("rubbish", None, {"Authorization": "Bearer rubbish"}, "token_invalid"),
    ("deactivated", "deactivated", {}, "token_deactivated"),
    ("pending", "pending", {}, "token_pending"),
    ("rehearsed", "rehearsed", {}, "token_rehearsed"),
    ("expired", "expired", {}, "token_expired"),
    ("a user who is gone", "gone", {}, "account_deactivated"),
    ("a company that is closed", "closed", {}, "account_deactivated"),
    ("outside the company's list", "listed", {}, "company_address_not_allowed"),
    ("inside it", "listed", {"X-Forwarded-For": "203.0.113.7"}, "allowed"),
    ("inside it by IPv6", "listed", {"X-Forwarded-For": "2001:db8::7, 10.0.0.1"}, "allowed"),
    (
        "what a caller wrote before its address",
        "listed",
        {"X-Forwarded-For": ["203.0.113.7", "198.51.100.1"]},
        "company_address_not_allowed",
    ),
    ("outside the token's networks", "networked", {}, "address_not_allowed"),
    ("inside them", "networked", {"X-Forwarded-For": "198.51.100.7"}, "allowed"),
    ("garbage for an address", "good", {"X-Forwarded-For": "unknown"}, "address_not_allowed"),
    ("an empty address", "good", {"X-Forwarded-For": ""}, "address_not_allowed"),
    ("a hole in it", "good", {"X-Forwarded-For": "1.2.3.4,,10.0.0.1"}, "address_not_allowed"),
    ("a port in it", "networked", {"X-Forwarded-For": "198.51.100.7:80"}, "allowed"),
    ("another with a port", "networked", {"X-Forwarded-For": "1.2.3.4:80"}, "address_not_allowed"),
    ("brackets in it", "good", {"X-Forwarded-For": "[2001:db8::7]"}, "address_not_allowed"),
    ("brackets and port", "listed", {"X-Forwarded-For": "[2001:db8::7]:51008"}, "allowed"),
    ("garbage beyond what counts", "good", {"X-Forwarded-For": "?, 1.2.3.4"}, "allowed"),
    ("garbage of a bad token", "expired", {"X-Forwarded-For": "unknown"}, "token_expired"),
    ("another header", "networked", {"X-Real-IP": "198.51.100.7"}, "address_not_allowed"),
    (
        "nor the standard one",
        "networked",
        {"Forwarded": "for=198.51.100.7", "CF-Connecting-IP": "198.51.100.7"},
        "address_not_allowed",
    ),
    ("no origin", "ui", {}, "origin_missing"),
    ("the origin", "ui", {"Origin": "https://shop.example.com"}, "allowed"),
    ("a subdomain", "ui", {"Origin": "https://a.example.org"}, "allowed"),
    ("another origin", "ui", {"Origin": "https://example.org"}, "origin_not_allowed"),
    ("plain http", "ui", {"Origin": "http://shop.example.com"}, "origin_not_allowed"),
    ("null", "ui", {"Origin": "null"}, "origin_not_allowed"),
    ("an empty origin", "ui", {"Origin": ""}, "origin_not_allowed"),
    ("origins", "ui", {"Origin": ["https://shop.example.com"] * 2}, "origin_not_allowed"),
    ("the referer", "ui", {"Referer": "https://shop.example.com/x?y"}, "allowed"),
    ("another referer", "ui", {"Referer": "https://example.com/"}, "origin_not_allowed"),
    ("an empty referer", "ui", {"Referer": ""}, "origin_not_allowed"),
    ("referers", "ui", {"Referer": ["https://shop.example.com/"] * 2}, "origin_not_allowed"),
    (
        "an origin beats the referer",
        "ui",
        {"Origin": "null", "Referer": "https://shop.example.com/"},
        "origin_not_allowed",
    ),
    ("its own host", "ui", SAME_ORIGIN, "allowed"),
    ("its own host, any origin", "ui anywhere", SAME_ORIGIN, "allowed"),
    ("its own host with the port", "ui",
     SAME_ORIGIN | {"X-Forwarded-Host": "shop.example.com:443"}, "allowed"),
    ("another host", "ui", SAME_ORIGIN | {"X-Forwarded-Host": "example.net"},
     "origin_not_allowed"),
    ("its own host at another port", "ui",
     SAME_ORIGIN | {"X-Forwarded-Host": "shop.example.com:8443"}, "origin_not_allowed"),
    ("no host that the gateway names", "ui", SAME_ORIGIN | {"X-Forwarded-Host": None},
     "origin_missing"),
    ("the host of the sub-request", "ui",
     SAME_ORIGIN | {"X-Forwarded-Host": None, "Host": "shop.example.com"}, "origin_missing"),
    ("two hosts", "ui", SAME_ORIGIN | {"X-Forwarded-Host": ["shop.example.com"] * 2},
     "origin_not_allowed"),
    ("hosts in a line", "ui",
     SAME_ORIGIN | {"X-Forwarded-Host": "evil.example, shop.example.com"}, "origin_not_allowed"),
    ("user-info in the host", "ui", SAME_ORIGIN | {"X-Forwarded-Host": "a@shop.example.com"},
     "origin_not_allowed"),
    ("a path in the host", "ui", SAME_ORIGIN | {"X-Forwarded-Host": "shop.example.com/"},
     "origin_not_allowed"),
    ("the wildcard as the host", "ui", SAME_ORIGIN | {"X-Forwarded-Host": "*.example.org"},
     "origin_not_allowed"),
    ("a page of another site", "ui", SAME_ORIGIN | {"Sec-Fetch-Site": "cross-site"},
     "origin_missing"),
    ("a page of the same site", "ui", SAME_ORIGIN | {"Sec-Fetch-Site": "same-site"},
     "origin_missing"),
    ("two words for the site", "ui", SAME_ORIGIN | {"Sec-Fetch-Site": ["same-origin"] * 2},
     "origin_not_allowed"),
    ("another word", "ui", SAME_ORIGIN | {"Sec-Fetch-Site": "yes"}, "origin_not_allowed"),
    ("an origin beats the host", "ui", SAME_ORIGIN | {"Origin": "https://example.net"},
     "origin_not_allowed"),
    ("a null origin isn't made good", "ui", SAME_ORIGIN | {"Origin": "null"},
     "origin_not_allowed"),
    ("a referer beats the host", "ui", SAME_ORIGIN | {"Referer": "https://example.net/"},
     "origin_not_allowed"),
    ("the site is nothing to others", "good", SAME_ORIGIN | {"Sec-Fetch-Site": ["a", "b"]},
     "allowed"),
    ("any origin will do", "ui anywhere", {"Origin": "https://x.example"}, "allowed"),
    ("but one it must be", "ui anywhere", {"Origin": "null"}, "origin_not_allowed"),
    ("no origin for any", "ui anywhere", {}, "origin_missing"),
    ("an origin is nothing to others", "good", {"Origin": "null"}, "allowed"),
    ("two origins neither", "good", {"Origin": ["a", "b"]}, "allowed"),
    ("dots", "good", {"X-Original-URI": "/v1/charges/../charges/1"}, "path_ambiguous"),
    ("dots in disguise", "good", {"X-Original-URI": "/v1/charges/%2e%2E"}, "path_ambiguous"),
    ("an encoded slash", "good", {"X-Original-URI": "/v1/charges/1%2f2"}, "path_ambiguous"),
    ("two slashes", "good", {"X-Original-URI": "//v1/charges/1"}, "path_ambiguous"),
    ("a slash at the end", "good", {"X-Original-URI": "/v1/charges/1/"}, "path_ambiguous"),
    ("a parameter", "good", {"X-Original-URI": "/v1/charges/1;a=b"}, "path_ambiguous"),
    ("a fragment", "good", {"X-Original-URI": "/v1/charges/1#a"}, "path_ambiguous"),
    ("a whole URL", "good", {"X-Original-URI": "http://a/v1/charges/1"}, "path_ambiguous"),
    ("another path", "good", {"X-Original-URI": "/v1/other"}, "route_unknown"),
    ("another method", "good", {"X-Original-Method": "DELETE"}, "route_unknown"),
    ("a method in lower case", "good", {"X-Original-Method": "get"}, "route_unknown"),
    ("no URI", "good", {"X-Original-URI": None}, "route_unknown"),
    ("an empty URI", "good", {"X-Original-URI": ""}, "route_unknown"),
    ("URIs", "good", {"X-Original-URI": ["/v1/charges/1"] * 2}, "route_unknown"),
    ("no method", "good", {"X-Original-Method": None}, "route_unknown"),
    ("an empty method", "good", {"X-Original-Method": ""}, "route_unknown"),
    ("methods", "good", {"X-Original-Method": ["GET", "GET"]}, "route_unknown"),
    ("neither", "good", {"X-Original-URI": None, "X-Original-Method": None}, "route_unknown"),
    ("nothing with a bad token", "expired", {"X-Original-URI": None}, "token_expired"),
    ("not held", "good", {"X-Original-URI": "/v1/charges/1/refund", "X-Original-Method": "POST"},
     "permission_missing"),
    ("a role that holds nothing", "poor", {}, "permission_missing"),
    ("an allowed method by another header", "good",
     {"X-Original-Method": "DELETE", "X-HTTP-Method-Override": "GET"}, "route_unknown"),
    ("a handshake", None, HANDSHAKE, "allowed"),
    ("a handshake with sub-protocols of its own", None,
     HANDSHAKE | {"Sec-WebSocket-Protocol": "gatepass, good, chat"}, "allowed"),
    ("a handshake's lines", None,
     HANDSHAKE | {"Sec-WebSocket-Protocol": ["gatepass", "good"]}, "allowed"),
    ("a handshake in capitals", None, HANDSHAKE | {"Upgrade": "WebSocket"}, "allowed"),
    ("a handshake of a bad token", None,
     HANDSHAKE | {"Sec-WebSocket-Protocol": "gatepass, rubbish"}, "token_invalid"),
    ("a handshake without one", None, HANDSHAKE | {"Sec-WebSocket-Protocol": "chat"},
     "token_missing"),
    ("a handshake with a header", "expired", HANDSHAKE, "token_expired"),
    ("sub-protocols of no handshake", None, HANDSHAKE | {"Upgrade": None}, "token_missing"),
    ("sub-protocols of another upgrade", None, HANDSHAKE | {"Upgrade": "h2c"}, "token_missing"),
    ("sub-protocols of two upgrades", None, HANDSHAKE | {"Upgrade": "h2c, websocket"},
     "token_missing"),
    ("sub-protocols of repeated upgrades", None, HANDSHAKE | {"Upgrade": ["websocket"] * 2},
     "token_missing"),
    ("sub-protocols of a POST", None,
     HANDSHAKE | {"X-Original-Method": "POST", "X-Original-URI": "/v1/charges"}, "token_missing"),
    ("both headers alike", "good", {"X-Access-Token": "good"}, "allowed"),
    ("both unlike", "good", {"X-Access-Token": "login"}, "token_invalid"),
    ("the other alone", None, {"X-Access-Token": "good"}, "allowed"),
    ("a cookie is never read", None, {"Cookie": "gatepass=good; __Host-gatepass=good"},
     "token_missing"),
]  # fmt: skip


def headers_of(
    shared_samples: Samples, token: str | None, others: dict[str, Any]
) -> list[tuple[str, Any]]:
    """The headers of one case; a token's name stands for its text."""
    usual: dict[str, Any] = {"X-Original-URI": "/v1/charges/1", "X-Original-Method": "GET"}
    if token is not None:
        usual["Authorization"] = "Bearer " + shared_samples.texts[token]
    found = []
    for name, values in (usual | others).items():
        for value in values if isinstance(values, list) else [values]:
            if name in ("X-Access-Token", "Cookie", "Sec-WebSocket-Protocol") and value:
                value = value.replace("good", shared_samples.texts["good"])
                value = shared_samples.texts.get(value, value)
            if value is not None:
                found.append((name, value))
    return found


@pytest.mark.parametrize(
    ("token", "others", "reason"),
    [pytest.param(*case[1:], id=case[0]) for case in TABLE],
)
def test_the_decision(
    shared_samples: Samples, asked: Ask, token: str | None, others: dict[str, Any], reason: str
) -> None:
    """204 with the identity, or 401 or 403 with the reason, for each client."""
    answer = asked("GET", GATEWAY, headers_of(shared_samples, token, others), b"")
    assert answer.header("cache-control") == "no-store"
    if reason == "allowed":
        assert answer.status == 204
        assert not answer.body
        for name in IDENTITY:
            assert answer.header(name), name
        assert answer.header("x-gatepass-reason") is None
        assert answer.header("x-gatepass-help") is None
        assert answer.header("www-authenticate") is None
        return
    assert answer.status == STATUS[reason]  # type: ignore[index] # a reason is its word
    assert answer.header("x-gatepass-reason") == reason
    help = answer.header("x-gatepass-help") or ""
    assert help.startswith(f"{DEFAULT_PUBLIC_URL}/decisions/dec_") == (
        reason not in ("token_missing", "token_invalid")
    )
    assert answer.json["reason"] == reason
    assert answer.json["status"] == answer.status
    assert answer.header("content-type") == "application/problem+json"
    for name in IDENTITY:
        assert answer.header(name) is None, name
    challenge = answer.header("www-authenticate")
    if reason == "token_missing":
        assert challenge == 'Bearer realm="gatepass"'
    elif answer.status == 401:
        assert challenge is not None
        assert challenge.startswith('Bearer realm="gatepass", error="invalid_token"')
    elif reason == "permission_missing":
        assert challenge is not None
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="refunds:create"' in challenge or 'scope="charges:get"' in challenge
    else:
        assert challenge is None


SOURCES = ("X-Original-URI", "X-Original-Method")


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({"X-Original-URI": None}, SOURCES[:1]),
        ({"X-Original-Method": None}, SOURCES[1:]),
        ({"X-Original-Method": ""}, SOURCES[1:]),
        ({"X-Original-URI": ["/v1/charges/1"] * 2}, SOURCES[:1]),
        ({"X-Original-URI": None, "X-Original-Method": None}, SOURCES),
        # Headers of other gateways aren't read.
        ({"X-Original-URI": None, "X-Forwarded-Uri": "/v1/charges/1"}, SOURCES[:1]),
        ({"X-Original-Method": "DELETE"}, ()),
        ({"X-Original-URI": "/v1/other"}, ()),
    ],
)
def test_a_header_missing_from_the_gateway_is_named(
    shared_samples: Samples, asked: Ask, others: dict[str, Any], named: tuple[str, ...]
) -> None:
    """A path without a route doesn't blame the gateway."""
    answer = asked("GET", GATEWAY, headers_of(shared_samples, "good", others), b"")
    assert answer.header("x-gatepass-reason") == "route_unknown"
    detail = str(answer.json["detail"])
    assert [name for name in SOURCES if name in detail] == list(named)


def test_an_unreadable_forwarding_header_is_named(shared_samples: Samples, asked: Ask) -> None:
    """Instead of the token's networks."""
    for token, others, blamed in [
        ("good", {"X-Forwarded-For": "unknown"}, True),
        ("networked", {"X-Forwarded-For": ""}, True),
        ("networked", {"X-Forwarded-For": "203.0.113.7"}, False),
    ]:
        answer = asked("GET", GATEWAY, headers_of(shared_samples, token, others), b"")
        assert answer.header("x-gatepass-reason") == "address_not_allowed"
        assert ("forwarding header" in str(answer.json["detail"])) is blamed


def test_a_gateways_misconfiguration_is_logged_once(
    shared_samples: Samples, endpoints: Endpoints, caplog: pytest.LogCaptureFixture
) -> None:
    """With the peer, once a minute, whatever the decision."""
    trusted, stranger = plain(endpoints), plain(endpoints, "203.0.113.9")
    for _ in range(3):
        trusted("GET", GATEWAY, headers_of(shared_samples, None, {"X-Original-URI": None}), b"")
        trusted(
            "GET", GATEWAY, headers_of(shared_samples, "good", {"X-Forwarded-For": "unknown"}), b""
        )
        stranger("GET", GATEWAY, headers_of(shared_samples, "good", {}), b"")
        trusted(
            "GET", GATEWAY, headers_of(shared_samples, "good", {"X-Original-URI": "/v1/other"}), b""
        )
    without_source, unreadable, untrusted = caplog.messages
    assert "'127.0.0.1'" in without_source
    assert "'X-Original-URI'" in without_source
    assert "'127.0.0.1'" in unreadable
    assert "X-Forwarded-For" in unreadable
    assert "'203.0.113.9'" in untrusted
    assert "GATEPASS_TRUSTED_PROXIES" in untrusted


def test_every_reason_is_in_the_table() -> None:
    assert {case[-1] for case in TABLE} == set(STATUS)


def test_the_identity_headers(shared_samples: Samples, asked: Ask) -> None:
    """The ids of token, company and user, the kind, and the permissions."""
    answer = asked("GET", GATEWAY, headers_of(shared_samples, "good", {}), b"")
    grant = shared_samples.grants["good"]
    assert [answer.header(name) for name in IDENTITY] == [
        grant.id, "cmp_1", "usr_dev", "usr_dev", "-", "api", "charges:create charges:get",
    ]  # fmt: skip
    answer = asked("GET", GATEWAY, headers_of(shared_samples, "admin login", {}), b"")
    assert [answer.header(name) for name in IDENTITY] == [
        shared_samples.grants["admin login"].id,
        *("cmp_1", "usr_admin", "usr_admin", "-", "login", "*"),
    ]  # fmt: skip


def test_a_clients_identity_headers_are_replaced(shared_samples: Samples, asked: Ask) -> None:
    """Each header is sent exactly once, with Gatepass's value."""
    claims = {name.title(): "mallory" for name in IDENTITY}
    claims |= {"X-GATEPASS-USER": "mallory", "x-gatepass-reason": "allowed"}
    for token in ("good", "many", "login", "ui anywhere"):
        others = {**claims, "Origin": "https://a.example"}
        answer = asked("GET", GATEWAY, headers_of(shared_samples, token, others), b"")
        assert answer.status == 204
        assert all(answer.header(name) for name in IDENTITY)
        assert "mallory" not in str(answer.headers)
    answer = asked("GET", GATEWAY, headers_of(shared_samples, "expired", claims), b"")
    assert answer.header("x-gatepass-reason") == "token_expired"
    assert "mallory" not in str(answer.headers)


def test_long_permissions_are_reduced_to_the_required_one(
    shared_samples: Samples, asked: Ask
) -> None:
    """A proxy might refuse a header of more than 2,000 bytes."""
    assert len(" ".join(MANY)) > LONGEST_PERMISSIONS
    for _ in range(2):
        answer = asked("GET", GATEWAY, headers_of(shared_samples, "many", {}), b"")
        assert answer.status == 204
        assert answer.header("x-gatepass-permissions") == "charges:get"
        assert answer.header("x-gatepass-token") == shared_samples.grants["many"].id


@pytest.mark.parametrize(
    ("external_id", "sent"),
    [
        (None, "-"),
        ("-", "%2D"),
        ("--", "--"),
        ("%2D", "%252D"),
        ("customer 7/\u00e4\U0001f600", "customer%207%2F%C3%A4%F0%9F%98%80"),
        ("\u00e4" * 200, "%C3%A4" * 200),
    ],
)
def test_the_owner(tmp_path: Any, external_id: str | None, sent: str) -> None:
    """Its id, and its external id so that a header can carry it."""
    samples = Samples(tmp_path / "gatepass.db")
    samples.put(
        Holder("ext_1", "cmp_1", True, "developer", EXTERNAL, "Customer", external_id),
        samples.token("owned", user="ext_1"),
    )
    endpoints = Endpoints(samples.verifier(), TrustedProxies.of(["127.0.0.0/8"]), lambda: None)
    answer = plain(endpoints)("GET", GATEWAY, headers_of(samples, "owned", {}), b"")
    assert answer.status == 204
    assert answer.header("x-gatepass-external") == sent
    assert answer.header("x-gatepass-owner") == answer.header("x-gatepass-user") == "ext_1"
    samples.close()


@pytest.mark.parametrize(("length", "whole"), [(2_000, True), (2_001, False)])
def test_two_thousand_bytes_of_permissions_are_sent(
    tmp_path: Any, length: int, whole: bool
) -> None:
    samples = Samples(tmp_path / "gatepass.db")
    names = ["charges:get"]
    while len(" ".join(names)) < length - 60:
        names.append(f"pad:p{len(names):048d}")
    names.append("pad:q" + "x" * (length - len(" ".join(names)) - 6))
    samples.put(samples.token("padded", user="usr_admin", permissions=frozenset(names)))
    endpoints = Endpoints(samples.verifier(), TrustedProxies.of(["127.0.0.0/8"]), lambda: None)
    answer = plain(endpoints)("GET", GATEWAY, headers_of(samples, "padded", {}), b"")
    expected = " ".join(sorted(names)) if whole else "charges:get"
    assert len(" ".join(names)) == length
    assert answer.header("x-gatepass-permissions") == expected
    samples.close()


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
)
def test_the_method_of_the_sub_request_is_ignored(
    shared_samples: Samples, asked: Ask, method: str
) -> None:
    """The endpoint answers every method alike."""
    body = b"" if method in ("GET", "HEAD", "TRACE") else b"a body"
    answer = asked(method, GATEWAY, headers_of(shared_samples, "good", {}), body)
    assert (answer.status, answer.header("x-gatepass-kind")) == (204, "api")
    others = {"X-Original-Method": "DELETE"}
    answer = asked(method, GATEWAY, headers_of(shared_samples, "good", others), body)
    assert answer.header("x-gatepass-reason") == "route_unknown"


def test_the_query_of_the_sub_request_is_ignored(
    shared_samples: Samples, verify_port: int, main_port: int
) -> None:
    """It isn't searched for a token either."""
    for port in (verify_port, main_port):
        path = f"{GATEWAY}?access_token={shared_samples.texts['good']}&X-Original-URI=/v1/charges/1"
        answer = ask(port, "GET", path, headers_of(shared_samples, None, {}))
        assert answer.header("x-gatepass-reason") == "token_missing"
        answer = ask(
            port, "GET", path, headers_of(shared_samples, "good", {"X-Original-URI": None})
        )
        assert answer.header("x-gatepass-reason") == "route_unknown"


@pytest.mark.parametrize("way", [plain, asgi])
@pytest.mark.parametrize(
    "peer",
    ["203.0.113.9", "::1", "2001:db8::1", "::ffff:203.0.113.9", "", "unknown", "127.0.0.1%lo"],
)
def test_an_untrusted_peer_gets_no_decision(
    shared_samples: Samples, endpoints: Endpoints, way: Any, peer: str
) -> None:
    """Neither does a peer whose address can't be parsed."""
    for token in ("good", "expired", None):
        others = {"X-Forwarded-For": "127.0.0.1"}
        answer = way(endpoints, peer)(
            "GET", GATEWAY, headers_of(shared_samples, token, others), b""
        )
        assert answer.status == 403
        assert answer.header("x-gatepass-reason") == "peer_not_trusted"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("www-authenticate") is None
        assert all(answer.header(name) is None for name in IDENTITY)


@pytest.mark.parametrize("way", [plain, asgi])
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.1.2.3", "10.0.0.7", "::ffff:10.0.0.7"])
def test_a_trusted_peer_gets_a_decision(
    shared_samples: Samples, endpoints: Endpoints, way: Any, peer: str
) -> None:
    """Its address may be IPv4-mapped."""
    answer = way(endpoints, peer)("GET", GATEWAY, headers_of(shared_samples, "good", {}), b"")
    assert answer.status == 204


def test_a_trusted_peer_without_a_forwarding_header_is_the_caller(
    shared_samples: Samples, endpoints: Endpoints
) -> None:
    answer = plain(endpoints, "10.0.0.7")(
        "GET", GATEWAY, headers_of(shared_samples, "networked", {}), b""
    )
    assert answer.header("x-gatepass-reason") == "address_not_allowed"
