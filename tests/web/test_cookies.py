"""The dashboard's login cookie: when it authenticates, and cross-site requests."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from starlette.requests import Request
from starlette.responses import Response

from gatepass.settings import Settings
from gatepass.web.cookies import (
    clear_login_cookie,
    cookie_counts,
    cookie_name,
    login_cookie,
    same_site,
    set_login_cookie,
)
from tests.support.apps.installation import Installation

JSON = ("Content-Type", "application/json")
HERE = ("Origin", "http://127.0.0.1:8787")
ELSEWHERE = ("Origin", "https://evil.example")


def call(installation: Installation, method: str, *headers: tuple[str, str]) -> int:
    cookie = ("Cookie", f"gatepass={installation.sign_in()}")
    path = "/v1/me" if method == "GET" else "/v1/sign-out"
    return installation.client().request(method, path, headers=[cookie, *headers]).status_code


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", [], 200),
        ("GET", [("Sec-Fetch-Site", "same-origin")], 200),
        ("GET", [("Sec-Fetch-Site", "same-site")], 200),
        ("GET", [("Sec-Fetch-Site", "none")], 200),
        ("GET", [("Sec-Fetch-Site", "cross-site")], 401),
        ("GET", [("Sec-Fetch-Site", "")], 401),
        ("GET", [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], 401),
        ("GET", [HERE], 200),
        ("GET", [ELSEWHERE], 401),
        ("GET", [("Origin", "null")], 401),
        ("GET", [("Origin", "http://127.0.0.1")], 401),
        ("GET", [HERE, ELSEWHERE], 401),
        ("GET", [("Sec-Fetch-Site", "cross-site"), HERE], 401),
        ("POST", [JSON], 204),
        ("POST", [JSON, HERE], 204),
        ("POST", [("Content-Type", "Application/JSON; charset=UTF-8")], 204),
        ("POST", [], 401),
        ("POST", [HERE], 401),
        ("POST", [JSON, ELSEWHERE], 401),
        ("POST", [JSON, ("Sec-Fetch-Site", "cross-site")], 401),
        ("POST", [("Content-Type", "text/plain")], 401),
        ("POST", [("Content-Type", "text/plain; application/json")], 401),
        ("POST", [("Content-Type", "application/x-www-form-urlencoded")], 401),
        ("POST", [("Content-Type", "multipart/form-data")], 401),
        ("POST", [("Content-Type", "text/plain"), JSON], 401),
        ("POST", [JSON, ("Content-Type", "text/plain")], 401),
    ],
)
def test_the_cookie_authenticates_same_site_json_only(
    installation: Installation, method: str, headers: list[tuple[str, str]], status: int
) -> None:
    assert call(installation, method, *headers) == status


def test_a_credential_header_takes_precedence_over_the_cookie(installation: Installation) -> None:
    good = f"gatepass={installation.sign_in()}"
    client = installation.client()
    wrong = client.get("/v1/me", headers={"Cookie": good, "x-access-token": "nonsense"})
    assert wrong.json()["reason"] == "token_invalid"
    basic = client.get("/v1/me", headers={"Cookie": good, "Authorization": "Basic QTpC"})
    assert basic.status_code == 200


def test_an_access_token_in_the_cookie_is_ignored(installation: Installation) -> None:
    token = installation.access_token("charges:get")
    answer = installation.client().get("/v1/me", headers={"Cookie": f"gatepass={token}"})
    assert answer.json()["reason"] == "token_missing"


def test_verifier_endpoints_ignore_the_cookie(installation: Installation) -> None:
    cookie = {"Cookie": f"gatepass={installation.sign_in()}"}
    headers = {**cookie, "X-Original-URI": "/v1/charges", "X-Original-Method": "POST"}
    answer = installation.client().get("/authz/nginx", headers=headers)
    assert answer.headers["x-gatepass-reason"] == "token_missing"
    answer = installation.client().post("/v1/verify", headers=cookie, json={})
    assert answer.json()["reason"] == "token_missing"


@dataclass
class Sent:
    """A request as the cookie functions receive it."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    public_url: str = "http://127.0.0.1:8787"
    method: str = "POST"

    def request(self, settings: Settings) -> Request:
        app = SimpleNamespace(state=SimpleNamespace(node=SimpleNamespace(settings=settings)))
        raw = [(name.lower().encode(), value.encode()) for name, value in self.headers]
        return Request({"type": "http", "method": self.method, "headers": raw, "app": app})


@pytest.fixture
def settings(tmp_path: object) -> Settings:
    return Settings.read({"GATEPASS_DATA_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ([], True),
        ([("Sec-Fetch-Site", "same-origin")], True),
        ([("Sec-Fetch-Site", "none")], True),
        ([("Sec-Fetch-Site", "same-site")], False),
        ([("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "cross-site"), HERE], False),
        ([("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], True),
        ([HERE], True),
        ([ELSEWHERE], False),
        ([("Origin", "null")], False),
        ([("Origin", "")], False),
    ],
)
def test_forms_are_accepted_from_the_same_origin_only(
    settings: Settings, headers: list[tuple[str, str]], accepted: bool
) -> None:
    assert same_site(Sent(headers).request(settings)) is accepted


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://gatepass.example.com", "https://gatepass.example.com"),
        ("https://gatepass.example.com:443", "https://gatepass.example.com"),
        ("http://gatepass.example.com:80", "http://gatepass.example.com"),
        ("https://gatepass.example.com:8443", "https://gatepass.example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:8787", "http://[::1]:8787"),
    ],
)
def test_the_same_origin_is_the_public_url_as_browsers_serialize_it(
    settings: Settings, public_url: str, origin: str
) -> None:
    settings = settings.with_(public_url=public_url)
    assert same_site(Sent([("Origin", origin)]).request(settings))
    assert cookie_counts(Sent([("Origin", origin), JSON]).request(settings))
    assert not same_site(Sent([("Origin", origin + "0")]).request(settings))


def test_on_https_the_cookie_has_the_host_prefix(settings: Settings) -> None:
    settings = settings.with_(public_url="https://gatepass.example.com")
    response = Response()
    set_login_cookie(response, settings, "gplt_x", 1_800_000_000_999)
    assert response.headers["set-cookie"] == (
        "__Host-gatepass=gplt_x; expires=Sat, 16 Jan 2027 08:00:00 GMT; HttpOnly; Path=/; "
        "SameSite=lax; Secure"
    )


def test_on_http_the_cookie_is_http_only_and_same_site(settings: Settings) -> None:
    response = Response()
    set_login_cookie(response, settings, "gplt_x", 1_800_000_000_000)
    made = response.headers["set-cookie"]
    assert made.startswith("gatepass=gplt_x; ")
    assert "HttpOnly" in made
    assert "SameSite=lax" in made
    assert "Secure" not in made
    gone = Response()
    clear_login_cookie(gone, settings)
    assert 'gatepass="";' in gone.headers["set-cookie"]
    assert "Max-Age=0" in gone.headers["set-cookie"]


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ([], None),
        (["gatepass=gplt_a"], "gplt_a"),
        (["x=1;  gatepass=gplt_a ; y=2"], "gplt_a"),
        (["gatepass=gplt_a; gatepass=gplt_a"], "gplt_a"),
        (["gatepass=gplt_a", "gatepass=gplt_a"], "gplt_a"),
        (["gatepass=gplt_a; gatepass=gplt_b"], None),
        (["gatepass=gplt_a", "gatepass=gplt_b"], None),
        (["gatepass="], None),
        (["gatepass=gpat_a"], None),
        (["gatepass"], None),
        (["__Host-gatepass=gplt_a"], None),
        (["GATEPASS=gplt_a"], None),
    ],
)
def test_differing_cookies_are_all_ignored(
    settings: Settings, cookies: list[str], found: str | None
) -> None:
    sent = Sent([("Cookie", line) for line in cookies])
    assert login_cookie(sent.request(settings)) == found
    assert cookie_name(settings) == "gatepass"
