"""What holds in every framework alike: the same call gets the same answer."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from gatepass import GatepassError, Misconfigured, Unavailable, Verifier
from gatepass.core.grants import decode_grant, encode
from gatepass.core.routes import RouteError
from gatepass.embed import open_verifier
from tests.support.apps.framework_apps import BY_ROUTES, BY_VIEWS, GUARDED_APPS, GuardedApp
from tests.support.grants.grant_file_fixture import Grants, new_grant_file
from tests.support.vector_files import load

pytestmark = pytest.mark.slow

Make = Callable[..., GuardedApp]
URL = "https://gatepass.example.com"


@pytest.fixture(scope="module")
def grants(tmp_path_factory: pytest.TempPathFactory) -> Grants:
    return new_grant_file(tmp_path_factory.mktemp("grants") / "gatepass.db")


@pytest.fixture(scope="module")
def verifier(grants: Grants) -> Verifier:
    verifier = open_verifier(grants.path)
    verifier.file.shared.set_public_url(URL)
    return verifier


@pytest.fixture(params=GUARDED_APPS)
def make(request: pytest.FixtureRequest, verifier: Verifier) -> Make:
    return lambda **options: GUARDED_APPS[request.param](verifier, **options)


@pytest.fixture(params=BY_ROUTES)
def make_by_routes(request: pytest.FixtureRequest, verifier: Verifier) -> Make:
    return lambda **options: BY_ROUTES[request.param](verifier, **options)


def joins(request: pytest.FixtureRequest) -> bool:
    """Whether repeated header lines arrive as one."""
    name = request.node.callspec.params["make"]
    return "flask" in name or "wsgi" in name


def bearer(token: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def test_a_permitted_call_arrives_with_its_decision(make: Make, grants: Grants) -> None:
    guarded, token = make(), grants.token()
    for method, target in (("POST", "/charges"), ("GET", "/charges/1"), ("HEAD", "/charges/1")):
        answer = guarded.call(method, target, [bearer(token)])
        assert answer.status == 200
        if method != "HEAD":
            assert answer.json == {"token": token[:21]}
    assert guarded.reached == ["POST", "GET", "HEAD"]


REFUSED: list[tuple[int, str, tuple[Any, ...]]] = [
    (401, "token_missing", ("POST", "/charges")),
    (401, "token_missing", ("POST", "/charges", [("authorization", "Basic Z2F0ZTpwYXNz")])),
    (401, "token_missing", ("POST", "/charges?access_token={token}&token={token}")),
    (401, "token_invalid", ("POST", "/charges", [bearer("gpat_nonsense")])),
    (401, "token_invalid", ("POST", "/charges", [("x-access-token", b"\xff")])),
    (403, "permission_missing", ("POST", "/charges/1/payout", [bearer("{token}")])),
    (403, "route_unknown", ("GET", "/forgotten", [bearer("{token}")])),
    (401, "token_missing", ("GET", "/forgotten")),
]


def test_a_refusal_is_a_problem_that_never_reaches_the_application(
    make: Make, grants: Grants
) -> None:
    guarded, token = make(), grants.token()
    for status, reason, (method, target, *more) in REFUSED:
        lines = [
            (name, value.replace("{token}", token) if isinstance(value, str) else value)
            for name, value in (more[0] if more else [])
        ]
        answer = guarded.call(method, target.replace("{token}", token), lines)
        assert (answer.status, answer.outcome) == (status, reason)
        assert answer.header("content-type") == "application/problem+json"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("content-length") == str(len(answer.body))
        assert answer.json["status"] == status
        assert answer.json["type"] == f"urn:gatepass:problem:{reason}"
        assert token not in answer.body.decode()
        assert answer.json["address"] == "203.0.113.9"
        help = answer.json.get("help", "")
        assert help.startswith(f"{URL}/decisions/dec_") == (status == 403)
        if reason == "permission_missing":
            assert answer.json["needed"] == ["payouts:create"]
    head = guarded.call("HEAD", "/charges/1")
    assert head.status == 401
    assert guarded.reached == []


def test_challenges_are_those_of_rfc_6750(make: Make, grants: Grants) -> None:
    guarded, token = make(), grants.token()

    def challenge(target: str, *lines: tuple[str, str]) -> str | None:
        return guarded.call("POST", target, lines).header("www-authenticate")

    assert challenge("/charges") == 'Bearer realm="gatepass"'
    assert 'error="invalid_token"' in (challenge("/charges", bearer("x")) or "")
    lacking = challenge("/charges/1/payout", bearer(token))
    assert 'error="insufficient_scope", scope="payouts:create"' in (lacking or "")
    forgotten = guarded.call("GET", "/forgotten", [bearer(token)])
    assert forgotten.header("www-authenticate") is None


def test_exempt_is_open_to_everybody(make: Make, grants: Grants) -> None:
    guarded = make()
    assert guarded.call("GET", "/health").json == {"token": None}
    assert guarded.call("GET", "/health", [bearer(grants.token(deactivated=True))]).status == 200


def test_a_deactivated_token_is_refused_by_the_very_next_call(
    make: Make, verifier: Verifier, grants: Grants
) -> None:
    guarded, token = make(), grants.token()
    assert guarded.call("POST", "/charges", [bearer(token)]).outcome == "allowed"
    grant = decode_grant(verifier.file.record("grants", token[:21]) or b"")
    ended = {name: getattr(grant, name) for name in grant.__struct_fields__}
    grants.put("grants", token[:21], encode(type(grant)(**{**ended, "deactivated": True})))
    assert guarded.call("POST", "/charges", [bearer(token)]).outcome == "token_deactivated"


def test_an_outage_is_503_and_never_allowed(
    make: Make, verifier: Verifier, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise Unavailable("/secret/path can't be read", reason="stale")

    monkeypatch.setattr(verifier, "judge", unavailable)
    guarded = make()
    for method, target in (("POST", "/charges"), ("GET", "/charges/1"), ("GET", "/forgotten")):
        answer = guarded.call(method, target, [bearer(grants.token())])
        assert (answer.status, answer.json["reason"]) == (503, "stale")
        assert answer.header("retry-after") == "1"
        assert b"secret" not in answer.body
    assert guarded.call("GET", "/health").status == 200
    assert guarded.reached == ["GET"]


def test_an_error_that_nobody_foresaw_lets_nobody_in(
    make: Make,
    verifier: Verifier,
    grants: Grants,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(verifier, "judge", broken)
    guarded = make()
    if "django" in request.node.callspec.params["make"]:
        assert guarded.call("GET", "/charges/1", [bearer(grants.token())]).status == 500
    else:
        with pytest.raises(RuntimeError):  # The server answers 500.
            guarded.call("GET", "/charges/1", [bearer(grants.token())])
    assert guarded.reached == []


def test_a_call_counts_as_one_use(
    make: Make, verifier: Verifier, grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[Any] = []

    class Counter:
        def note(self, decision: Any, now: int) -> None:
            noted.append(decision.reason.value)

    monkeypatch.setattr(verifier, "usage", Counter())
    guarded, token = make(), grants.token()
    guarded.call("POST", "/charges", [bearer(token)])
    guarded.call("GET", "/charges/1", [bearer(token)])
    guarded.call("POST", "/charges/1/payout", [bearer(token)])
    assert noted == ["allowed", "allowed", "permission_missing"]


# --- what a request says --------------------------------------------------------------------------


def test_credentials_are_read_as_the_vectors_say(
    make: Make, grants: Grants, request: pytest.FixtureRequest
) -> None:
    guarded, one, other = make(), grants.token(), grants.token()

    def line(text: str | None) -> str | bytes:
        if text is None or text == "t":
            return b"\xff" if text is None else one.lower()
        return re.sub("[TU]", lambda letter: one if letter[0] == "T" else other, text)

    for case in load("presented.yaml")["cases"]:
        first, second = case.get("authorization", []), case.get("x_access_token", [])
        lines = [("Authorization", line(text)) for text in first]
        lines += [("X-Access-Token", line(text)) for text in second]
        outcome = guarded.call("GET", "/charges/1", lines).outcome
        expected = {"T": "allowed", "token_missing": "token_missing"}
        if joins(request) and max(len(first), len(second)) > 1:
            # Which lines there were can't be told any more.
            assert outcome in ("token_invalid", "token_missing"), case
        else:
            assert outcome == expected.get(case["presents"], "token_invalid"), case


def test_addresses_are_read_as_the_vectors_say(
    make: Make, grants: Grants, request: pytest.FixtureRequest
) -> None:
    vectors = load("client_address.yaml")
    guarded_apps: dict[tuple[str, ...], GuardedApp] = {}
    tokens: dict[str, str] = {"garbage": grants.token()}
    elsewhere = grants.token(networks=("192.0.2.77",))
    for case in vectors["cases"]:
        trusted = tuple(case.get("trusted", vectors["proxies"]))
        if trusted not in guarded_apps:
            guarded_apps[trusted] = make(trusted_proxies=trusted)
        call = guarded_apps[trusted].call
        forwarded = case.get("forwarded", [])
        lines = [
            ("X-Forwarded-For", b"\xff" if text is None else text.encode()) for text in forwarded
        ]
        address = case["address"]
        if address not in tokens:
            tokens[address] = grants.token(networks=(address,))
        expected = "address_not_allowed" if address == "garbage" else "allowed"
        if joins(request) and len(forwarded) > 1 and None in forwarded and address != case["peer"]:
            expected = "address_not_allowed"  # One unreadable line spoils the others.
        lines.append(bearer(tokens[address]))
        assert call("GET", "/charges/1", lines, case["peer"]).outcome == expected, case
        lines[-1] = bearer(elsewhere)
        assert call("GET", "/charges/1", lines, case["peer"]).outcome == "address_not_allowed", case


def test_a_peer_that_is_no_address_fails_every_list(make: Make, grants: Grants) -> None:
    guarded = make(trusted_proxies=["10.0.0.0/8"])
    forwarded = ("X-Forwarded-For", "198.51.100.7")
    here = grants.token(networks=("198.51.100.0/24", "203.0.113.0/24"))
    anywhere = grants.token()
    for peer in (None, "", "testclient", "unix:", "203.0.113.9:4711", "fe80::1%1"):
        refused = guarded.call("GET", "/charges/1", [bearer(here), forwarded], peer)
        assert refused.outcome == "address_not_allowed"
        allowed = guarded.call("GET", "/charges/1", [bearer(anywhere), forwarded], peer)
        assert allowed.outcome == "allowed"


ON_DOMAINS: list[tuple[list[tuple[str, str | bytes]], str]] = [
    ([("Origin", "https://shop.example.com")], "allowed"),
    ([("Referer", "https://shop.example.com/cart")], "allowed"),
    ([], "origin_missing"),
    ([("Origin", "https://evil.example")], "origin_not_allowed"),
    ([("Origin", "https://shop.example.com")] * 2, "origin_not_allowed"),
    ([("Origin", b"https://shop.example.com\xff")], "origin_not_allowed"),
    # Latin-1 for a host that is allowed in its proper spelling: garbage all the same.
    ([("Origin", b"https://b\xfccher.example")], "origin_not_allowed"),
    ([("Origin", ""), ("Referer", "https://shop.example.com/")], "origin_not_allowed"),
    ([("Referer", b"https://shop.example.com/\xff")], "origin_not_allowed"),
    # A page's own GET to its own host, without Origin and Referer: no page can set Sec-Fetch-Site.
    ([("Sec-Fetch-Site", "same-origin"), ("Host", "shop.example.com")], "allowed"),
    ([("Sec-Fetch-Site", "same-origin"), ("Host", "evil.example")], "origin_not_allowed"),
    ([("Sec-Fetch-Site", "same-origin")], "origin_missing"),
    ([("Sec-Fetch-Site", "cross-site"), ("Host", "shop.example.com")], "origin_missing"),
    ([("Sec-Fetch-Site", "none"), ("Host", "shop.example.com")], "origin_missing"),
    (
        [("Sec-Fetch-Site", "same-origin"), *[("Host", "shop.example.com")] * 2],
        "origin_not_allowed",
    ),
    (
        [
            ("Sec-Fetch-Site", "same-origin"),
            ("Host", "evil.example"),
            ("X-Forwarded-Host", "shop.example.com"),
        ],
        "origin_not_allowed",
    ),
]


def test_a_ui_token_counts_on_its_domains_alone(make: Make, grants: Grants) -> None:
    token = grants.token(kind="ui", domains=("shop.example.com", "xn--bcher-kva.example"))
    guarded = make()
    for lines, outcome in ON_DOMAINS:
        answer = guarded.call("GET", "/charges/1", [bearer(token), *lines])
        assert answer.outcome == outcome, lines


# --- by method and path ---------------------------------------------------------------------------


UNKNOWN = [
    "DELETE /charges",
    "get /charges/1",
    "GET /charges",
    "GET /nowhere",
    "GET /charges/1/2",
    "PUT /health",
]


def test_a_route_that_nobody_named_is_refused(make_by_routes: Make, grants: Grants) -> None:
    guarded, token = make_by_routes(), grants.token()
    for method, target in map(str.split, UNKNOWN):
        assert guarded.call(method, target, [bearer(token)]).outcome == "route_unknown", target
        assert guarded.call(method, target).outcome == "token_missing"
    assert guarded.reached == []


AMBIGUOUS = [
    "/",
    "",
    "charges/1",
    "//charges/1",
    "/charges//1",
    "/charges/",
    "/charges/1/",
    "/./charges/1",
    "/charges/../charges/1",
    "/charges/%2e%2e",
    "/charges/%2E",
    "/charges/1%00",
    "/charges/1%0a",
    "/charges/%252F",
    "/charges/a%252fb",
    "/charges/%25252F",
    "/charges/%252e",
    "/charges/..%3Bv=2",
    "/charges/a%5Cb",
    "/charges/a\\b",
    "/charges/%FF",
    "/charges/%C3%28",
    "/charges/%ED%A0%80",
    "/health/",
    "/health%3B",
    "/health%2F",
    "/health/.",
]
#: Ids to the application and to the guard, which sees what it sees.
OPAQUE = ["/charges/%25", "/charges/1%3Bv=2", "/charges/%23a", "/charges/50%25off"]
#: What servers cut at or stumble over where it isn't encoded; decoded, it is one of those.
RAW = ["/charges/1;v=2", "/charges/%zz", "/charges/%"]


def test_a_path_that_can_be_read_in_two_ways_is_refused(
    make_by_routes: Make, grants: Grants
) -> None:
    guarded, token = make_by_routes(), grants.token()
    for target in AMBIGUOUS:
        assert guarded.call("GET", target, [bearer(token)]).outcome == "path_ambiguous", target
        assert guarded.call("GET", target).outcome == "token_missing"
    assert guarded.reached == []


def test_what_only_an_id_may_hold_is_read_where_it_is_encoded(
    make_by_routes: Make, grants: Grants, request: pytest.FixtureRequest
) -> None:
    """Where the server doesn't tell how it came, the application can't read it otherwise either."""
    guarded, token = make_by_routes(), grants.token()
    told = "without target" not in request.node.callspec.id
    for target in OPAQUE:
        assert guarded.call("GET", target, [bearer(token)]).outcome == "allowed", target
    for target in RAW:
        expected = "path_ambiguous" if told else "allowed"
        assert guarded.call("GET", target, [bearer(token)]).outcome == expected, target


def test_an_encoded_slash_opens_nothing(make_by_routes: Make, grants: Grants) -> None:
    """A server that decodes before it tells can't tell it from a slash; then the application
    sees the slash, and what is matched is what it sees."""
    guarded = make_by_routes()
    answer = guarded.call("POST", "/charges/1%2Fpayout", [bearer(grants.token())])
    assert answer.outcome in ("path_ambiguous", "permission_missing")
    assert guarded.reached == []


def test_what_is_encoded_without_need_is_what_it_stands_for(
    make_by_routes: Make, grants: Grants
) -> None:
    guarded, token = make_by_routes(), grants.token()
    for target in ("/%63harges/1", "/charges/caf%C3%A9", "/charges/a%20b?x=//"):
        assert guarded.call("GET", target, [bearer(token)]).outcome == "allowed", target
    assert guarded.reached == ["GET"] * 3


def test_a_catalogue_serves_as_well(make_by_routes: Make, grants: Grants, tmp_path: Any) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text('permissions:\n  charges:get: {title: "See", routes: ["GET /charges/{id}"]}\n')
    guarded = make_by_routes(catalogue=file, permissions=None)
    assert guarded.call("GET", "/charges/1", [bearer(grants.token())]).outcome == "allowed"
    assert guarded.call("POST", "/charges", [bearer(grants.token())]).outcome == "route_unknown"


PREFLIGHT = [
    ("Origin", "https://shop.example.com"),
    ("Access-Control-Request-Method", "POST"),
    ("Access-Control-Request-Headers", "authorization,content-type"),
]


def test_a_preflight_is_refused_like_any_call_unless_the_middleware_sees_to_cors(
    make_by_routes: Make,
) -> None:
    guarded = make_by_routes()
    assert guarded.call("OPTIONS", "/charges", PREFLIGHT).status == 401
    assert guarded.reached == []


def test_with_cors_preflights_are_answered_and_refusals_readable(
    make_by_routes: Make, grants: Grants
) -> None:
    guarded = make_by_routes(cors=True)
    answer = guarded.call("OPTIONS", "/charges", PREFLIGHT)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-origin") == "*"
    assert "authorization" in (answer.header("access-control-allow-headers") or "")
    assert "x-access-token" in (answer.header("access-control-allow-headers") or "")
    assert answer.header("access-control-allow-credentials") is None
    assert guarded.reached == []
    refused = guarded.call("POST", "/charges", PREFLIGHT[:1])
    assert (refused.status, refused.header("access-control-allow-origin")) == (401, "*")
    assert refused.header("access-control-expose-headers") == "www-authenticate"
    allowed = guarded.call("POST", "/charges", [bearer(grants.token())])
    assert (allowed.status, allowed.header("access-control-allow-origin")) == (200, "*")


def names(header: str | None) -> set[str]:
    return {name.strip().lower() for name in (header or "").split(",")}


def test_a_preflight_is_told_what_it_asks_for_and_the_methods_of_the_routes(
    make_by_routes: Make,
) -> None:
    """Tracing and idempotency headers come from libraries that no list of ours could name."""
    guarded = make_by_routes(cors=True)
    asked = "authorization,baggage,idempotency-key,if-match,sentry-trace,traceparent"
    preflight = [*PREFLIGHT[:2], ("Access-Control-Request-Headers", asked)]
    answer = guarded.call("OPTIONS", "/charges", preflight)
    assert answer.status == 204
    allowed = names(answer.header("access-control-allow-headers"))
    assert allowed == names(asked) | {"authorization", "x-access-token", "content-type"}
    assert names(answer.header("access-control-allow-methods")) == {"get", "head", "post"}
    assert "access-control-request-headers" in names(answer.header("vary"))
    guarded = make_by_routes(cors=True, permissions={"PURGE /cache": "charges:create"}, exempt=[])
    answer = guarded.call("OPTIONS", "/cache", PREFLIGHT)
    assert answer.header("access-control-allow-methods") == "PURGE"


NO_PREFLIGHTS: list[list[tuple[str, str | bytes]]] = [
    [],
    PREFLIGHT[:1],
    PREFLIGHT[1:],
    [("Origin", ""), *PREFLIGHT[1:]],
    [("Origin", b"\xff"), *PREFLIGHT[1:]],
    [*PREFLIGHT[:1], PREFLIGHT[0], *PREFLIGHT[1:]],
    [PREFLIGHT[0], ("Access-Control-Request-Method", "")],
    [PREFLIGHT[0], ("Access-Control-Request-Method", "PO ST")],
    [PREFLIGHT[0], PREFLIGHT[1], PREFLIGHT[1]],
    [*PREFLIGHT[:2], ("Access-Control-Request-Headers", "a, b\rset-cookie: c=d")],
    [*PREFLIGHT[:2], ("Access-Control-Request-Headers", "a b")],
    [*PREFLIGHT[:2], ("Access-Control-Request-Headers", "<script>")],
    [*PREFLIGHT[:2], ("Access-Control-Request-Headers", b"a\xff")],
    [*PREFLIGHT[:2], ("Access-Control-Request-Headers", ",".join(["x-" + "y" * 60] * 70))],
]


@pytest.mark.parametrize("cors", [False, True])
def test_every_other_options_is_decided_like_any_call(
    make_by_routes: Make, cors: bool, grants: Grants
) -> None:
    """An application may do as the method of another header says, or as a view does for any
    method: no caller may choose a method that isn't decided."""
    guarded, token = make_by_routes(cors=cors), grants.token()
    override = ("X-HTTP-Method-Override", "DELETE")
    for lines in NO_PREFLIGHTS:
        for target in ("/charges", "/charges/1", "/forgotten", "/admin"):
            refused = guarded.call("OPTIONS", target, [*lines, override])
            assert (refused.status, refused.outcome) == (401, "token_missing"), lines
            refused = guarded.call("OPTIONS", target, [*lines, override, bearer(token)])
            assert refused.outcome in ("route_unknown", "origin_not_allowed"), lines
    assert guarded.reached == []


@pytest.mark.parametrize("name", BY_VIEWS)
def test_no_options_reaches_a_view_that_nobody_named_for_it(
    name: str, verifier: Verifier, grants: Grants
) -> None:
    options = {"cors": True} if "django" in name else {}
    guarded = BY_VIEWS[name](verifier, **options)
    for lines in NO_PREFLIGHTS:
        for target in ("/charges", "/charges/1", "/charges/1/payout", "/forgotten"):
            assert guarded.call("OPTIONS", target, lines).status in (401, 405), (target, lines)
    assert guarded.reached == []


# --- what is handed in ----------------------------------------------------------------------------


UNUSABLE: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"permissions": None}, Misconfigured),
    ({"catalogue": "x.yaml", "permissions": {}}, Misconfigured),
    ({"permissions": {"GET /a": "charges"}}, Misconfigured),
    ({"permissions": {"GET /a": "charges:*"}}, Misconfigured),
    ({"permissions": {"/a": "charges:get"}}, RouteError),
    ({"permissions": {"GET /a": "charges:get"}, "exempt": ["GET /a"]}, RouteError),
    ({"permissions": {}, "exempt": ["GET /{a"]}, RouteError),
    ({"permissions": {}, "trusted_proxies": ["10.0.0.0/33"]}, ValueError),
    ({"catalogue": "/does/not/exist.yaml", "permissions": None}, Misconfigured),
]


def test_what_cannot_be_used_stops_the_start(make_by_routes: Make) -> None:
    for options, error in UNUSABLE:
        with pytest.raises(error):
            make_by_routes(**options)
        assert issubclass(error, GatepassError | ValueError)


def test_without_any_route_nothing_is_allowed(make_by_routes: Make, grants: Grants) -> None:
    guarded = make_by_routes(permissions={}, exempt=[])
    for target in ("/charges/1", "/health", "/forgotten"):
        assert guarded.call("GET", target, [bearer(grants.token())]).outcome == "route_unknown"
    assert guarded.reached == []


@pytest.mark.parametrize("name", BY_VIEWS)
def test_a_network_that_is_none_stops_the_start(name: str, verifier: Verifier) -> None:
    with pytest.raises(ValueError):
        BY_VIEWS[name](verifier, trusted_proxies=["10.0.0.0/33"])
