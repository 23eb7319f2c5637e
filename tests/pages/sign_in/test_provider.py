"""Signing in with an OIDC provider, against one that lies."""

import gzip
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from gatepass.registry.actor import Actor
from gatepass.registry.authentication import identities
from gatepass.registry.directory import users as registered_users
from gatepass.registry.directory.users import operators
from gatepass.registry.input.text import folded
from gatepass.registry.storage.tables import companies
from gatepass.registry.storage.tables import users as users_table
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Visit
from tests.support.oidc.provider_double import (
    CLIENT,
    ISSUER,
    SECRET,
    SETTINGS,
    Claims,
    ProviderDouble,
    ec_key,
    rsa_key,
    signed,
    unsigned,
    with_header,
    with_hmac,
)

CALLBACK = "/sign-in/oidc/callback"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return SETTINGS


@pytest.fixture
def provider(installation: Installation) -> ProviderDouble:
    double = ProviderDouble()
    double.now = lambda: installation.node.clock.now() / 1000
    double.serve(installation.node.provider)
    return double


def set_out(visit: Visit, path: str = "/sign-in/oidc") -> str:
    answer = visit.get(path).answer
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def sign_in(visit: Visit, provider: ProviderDouble, path: str = "/sign-in/oidc") -> httpx.Response:
    return visit.get(provider.authorize(set_out(visit, path))).answer


def refused(
    visit: Visit, provider: ProviderDouble, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    """Fail unless the sign-in is refused, for that reason in the log alone."""
    caplog.clear()
    provider.log_again()
    with caplog.at_level(logging.WARNING, "gatepass.oidc"):
        answer = sign_in(visit, provider)
    assert answer.status_code == 401, answer.text
    assert "gplt_" not in str(answer.headers)
    assert why not in answer.text.split() or why == "state"
    assert caplog.messages[-1].partition("refused: ")[2].partition(" ")[0] == why
    assert visit.get("/access-tokens").answer.status_code == 303


def users(installation: Installation) -> dict[str, Any]:
    listed = installation.signed_in().get("/v1/users").json()["items"]
    return {user["email"]: user for user in listed}


def test_an_unknown_user_with_a_verified_address_gets_an_account(
    installation: Installation, stranger: Visit, provider: ProviderDouble
) -> None:
    page = stranger.get("/sign-in?next=/authentications")
    url = page.links["Sign in with login.example.com"]
    answer = sign_in(stranger, provider, url)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/authentications"
    stranger.get("/account").shows("Grace Hopper", "Manager", "login.example.com: linked")
    made = users(installation)["grace@example.com"]
    assert made["role"] == "manager"
    with installation.write() as change:
        assert operators(change, installation.company.id) == {installation.ada.id}
    # Again: the same user.
    sign_in(Visit(installation.client()), provider)
    assert len(users(installation)) == 2
    events = installation.signed_in().get("/v1/audit-events?limit=20").json()["items"]
    sentences = [event["sentence"] for event in events]
    assert "Gatepass created the user Grace Hopper as Manager" in sentences
    assert f"Grace Hopper was linked to their account at {ISSUER}" in sentences


def test_the_account_has_no_password(
    installation: Installation, stranger: Visit, provider: ProviderDouble
) -> None:
    """Not even the dummy's, which stands in where there is no password hash."""
    sign_in(stranger, provider)
    for password in ("", "nobody's password"):
        fields = {"email": "grace@example.com", "password": password}
        assert installation.client().post("/v1/authentications", json=fields).status_code == 401


def test_the_flows_cookie_is_bound_to_the_browser_and_over_with_the_answer(
    installation: Installation, stranger: Visit, provider: ProviderDouble
) -> None:
    first = stranger.get("/sign-in/oidc").answer
    cookie = first.headers["set-cookie"].lower()
    assert cookie.startswith("gatepass-oidc=")
    for attribute in ("httponly", "samesite=lax", "path=/", "max-age=86400"):
        assert attribute in cookie
    path = provider.authorize(first.headers["location"])
    # Another browser can't use the answer (login CSRF).
    assert Visit(installation.client()).get(path).answer.status_code == 401
    assert stranger.get(path).answer.status_code == 303


def test_a_planted_cookie_beside_the_own_one_counts_for_nothing(
    installation: Installation, stranger: Visit, provider: ProviderDouble
) -> None:
    """Login CSRF from a sibling host, without https: nobody can tell which cookie is whose."""
    attacker = Visit(installation.client())
    path = provider.authorize(set_out(attacker))
    set_out(stranger)
    cookies = [visit.client.cookies["gatepass-oidc"] for visit in (attacker, stranger)]
    header = "; ".join(f"gatepass-oidc={cookie}" for cookie in cookies)
    answer = installation.client().get(path, headers={"Cookie": header})
    assert answer.status_code == 401


def test_an_answer_is_accepted_once(
    stranger: Visit, provider: ProviderDouble, caplog: pytest.LogCaptureFixture
) -> None:
    first = stranger.get("/sign-in/oidc").answer
    cookie = stranger.client.cookies["gatepass-oidc"]
    path = provider.authorize(first.headers["location"])
    assert stranger.get(path).answer.status_code == 303
    stranger.client.cookies.clear()
    stranger.client.cookies.set("gatepass-oidc", cookie)
    assert stranger.get(path).answer.status_code == 401
    assert caplog.messages[-1].endswith("refused: used")


def test_a_flow_ends_after_ten_minutes(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = provider.authorize(set_out(stranger, "/sign-in/oidc?next=/authentications"))
    now = installation.node.clock.now
    monkeypatch.setattr(installation.node.clock, "now", lambda: now() + 600_000)
    page = stranger.get(path)
    assert page.answer.status_code == 401
    assert caplog.messages[-1].endswith("refused: no_flow")
    # The next one still leads where they wanted to go.
    assert page.links["Sign in with login.example.com"].endswith("next=/authentications")
    assert "gatepass-oidc" not in stranger.client.cookies


@pytest.mark.parametrize(("checks", "why"), [(True, "code_refused"), (False, "nonce")])
def test_a_code_of_another_browser_is_refused(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
    checks: bool,
    why: str,
) -> None:
    """Code injection: an attacker puts a code of theirs, or a stolen one, into a flow."""
    provider.checks_challenge = checks
    attacker = Visit(installation.client())
    theirs = httpx.URL(provider.authorize(set_out(attacker))).params["code"]
    path = httpx.URL(provider.authorize(set_out(stranger)))
    answer = stranger.get(str(path.copy_set_param("code", theirs))).answer
    assert answer.status_code == 401
    assert caplog.messages[-1].endswith(f"refused: {why}")


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil"])
def test_no_return_path_leads_elsewhere(
    stranger: Visit, provider: ProviderDouble, elsewhere: str
) -> None:
    answer = sign_in(
        stranger, provider, str(httpx.URL("/sign-in/oidc", params={"next": elsewhere}))
    )
    assert answer.headers["location"] == "/access-tokens"


ANSWERS: dict[str, tuple[dict[str, str | None], str]] = {
    "another state": ({"state": "x"}, "state"),
    "no state": ({"state": None}, "state"),
    "a state that isn't ASCII": ({"state": "ü"}, "state"),
    "another issuer (mix-up)": ({"iss": "https://evil.example"}, "issuer"),
    "no issuer, though it promised one": ({"iss": None}, "issuer"),
    "an error": ({"error": "access_denied", "error_description": "<b>"}, "provider_refused"),
    "no code": ({"code": None}, "no_code"),
    "a code that it didn't give": ({"code": "guess"}, "code_refused"),
    "a long code": ({"code": "x" * 5000}, "no_code"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_other_answers_are_refused(
    stranger: Visit, provider: ProviderDouble, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    provider.answer, why = ANSWERS[what]
    refused(stranger, provider, caplog, why)


def test_a_stranger_fills_no_log(
    installation: Installation, provider: ProviderDouble, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        page = Visit(installation.client()).get("/sign-in/oidc/callback")
        assert page.answer.status_code == 401
    assert len(caplog.messages) == 1
    # Each is counted.
    assert dict(installation.node.counters.sign_in_failures.totals())["provider"] == 3
    provider.claims["email_verified"] = False
    for subject in ("one", "two"):
        provider.claims["sub"] = subject
        sign_in(Visit(installation.client()), provider)
    # Each account's refusals are there.
    assert [message[-5:] for message in caplog.messages[1:]] == ["one')", "two')"]


def test_a_repeated_parameter_is_refused(stranger: Visit, provider: ProviderDouble) -> None:
    path = provider.authorize(set_out(stranger))
    assert stranger.get(f"{path}&code=x").answer.status_code == 401


def with_claims(**changes: Any) -> Callable[[Claims], str]:
    def sign(claims: Claims) -> str:
        merged = {name: value for name, value in (claims | changes).items() if value is not None}
        return signed(merged, rsa_key("one"))

    return sign


def with_times(**offsets: float) -> Callable[[Claims], str]:
    def sign(claims: Claims) -> str:
        moved = {name: claims["iat"] + offset for name, offset in offsets.items()}
        return signed(claims | moved, rsa_key("one"))

    return sign


TOKENS: dict[str, tuple[Callable[[Claims], str], str]] = {
    "no signature": (unsigned, "algorithm"),
    "HMAC with the public key": (
        lambda claims: with_hmac(claims, rsa_key("one").as_pem(private=False)),
        "algorithm",
    ),
    "HMAC with the client's secret": (
        lambda claims: with_hmac(claims, SECRET.encode()),
        "algorithm",
    ),
    "another key with the same id": (
        lambda claims: signed(claims, rsa_key("two"), kid="one"),
        "signature",
    ),
    "an unpublished key": (lambda claims: signed(claims, rsa_key("two")), "unknown_key"),
    "a key of another type": (
        lambda claims: signed(claims, ec_key("ec"), "ES256", kid="one"),
        "unknown_key",
    ),
    "a key of its own": (
        lambda claims: with_header(claims, rsa_key("two"), jwk=rsa_key("two").as_dict()),
        "signature",
    ),
    "an address of its keys": (
        lambda claims: with_header(claims, rsa_key("two"), jku="https://evil.example/keys"),
        "signature",
    ),
    "a critical extension": (
        lambda claims: with_header(claims, rsa_key("one"), crit=["x"], x=1),
        "extension",
    ),
    "a logout token's type": (
        lambda claims: signed(claims, rsa_key("one"), typ="logout+jwt"),
        "type",
    ),
    "no token": (lambda claims: "x", "malformed"),
    "a large token": (lambda claims: "x" * 70_000, "malformed"),
    "another issuer": (with_claims(iss="https://evil.example"), "issuer"),
    "the issuer with a slash": (with_claims(iss=ISSUER + "/"), "issuer"),
    "no issuer": (with_claims(iss=None), "issuer"),
    "another audience": (with_claims(aud="other"), "audience"),
    "no audience": (with_claims(aud=None), "audience"),
    "an audience that only begins like ours": (with_claims(aud="gatepass2"), "audience"),
    "several audiences without a party": (with_claims(aud=[CLIENT, "other"]), "authorized_party"),
    "another party": (with_claims(aud=[CLIENT, "other"], azp="other"), "authorized_party"),
    "another party alone": (with_claims(azp="other"), "authorized_party"),
    "another nonce": (with_claims(nonce="x"), "nonce"),
    "no nonce": (with_claims(nonce=None), "nonce"),
    "a nonce that can't be encoded": (with_claims(nonce="\ud800"), "nonce"),
    "no subject": (with_claims(sub=None), "subject"),
    "an empty subject": (with_claims(sub=""), "sub"),
    "a subject that is a number": (with_claims(sub=7), "sub"),
    "a subject with a control": (with_claims(sub="a\0b"), "sub"),
    "expired": (with_times(exp=-61), "expired"),
    "no expiry": (with_claims(exp=None), "expired"),
    "an expiry that is no number": (with_claims(exp=float("nan")), "expired"),
    "an expiry that is a text": (with_claims(exp="2999"), "expired"),
    "issued long ago": (with_times(iat=-700), "issued_at"),
    "issued in the future": (with_times(iat=90), "issued_at"),
    "no time of issue": (with_claims(iat=None), "issued_at"),
    "not valid yet": (with_times(nbf=90), "not_before"),
    "a session that is a number": (with_claims(sid=7), "sid"),
}


ACCEPTED: dict[str, Callable[[Claims], str]] = {
    "one audience in a list": with_claims(aud=[CLIENT]),
    "several audiences and us as the party": with_claims(aud=["other", CLIENT], azp=CLIENT),
    "a clock that is late": with_times(iat=-59, exp=-59),
    "a clock that is early": with_times(iat=59, nbf=59),
    "no type": lambda claims: signed(claims, rsa_key("one"), typ=None),
    "no key id": lambda claims: signed(claims, rsa_key("one"), kid=None),
    "PSS": lambda claims: signed(claims, rsa_key("one"), "PS256"),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_honest_tokens_are_accepted(stranger: Visit, provider: ProviderDouble, what: str) -> None:
    provider.sign = ACCEPTED[what]
    assert sign_in(stranger, provider).status_code == 303


@pytest.mark.parametrize("what", TOKENS)
def test_other_tokens_are_refused(
    stranger: Visit, provider: ProviderDouble, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    provider.sign, why = TOKENS[what]
    refused(stranger, provider, caplog, why)


@pytest.mark.parametrize(
    "key",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"kid": "other"},
        {"n": "AQAB"},
        {"n": 7},
        {"kty": "oct", "k": "AAAA"},
        "no object",
        rsa_key("short", 1024).as_dict(private=False) | {"kid": "one"},
    ],
)
def test_keys_that_do_not_fit_are_not_used(
    stranger: Visit, provider: ProviderDouble, caplog: pytest.LogCaptureFixture, key: Any
) -> None:
    provider.keys = [provider.keys[0] | key if isinstance(key, dict) else key]
    refused(stranger, provider, caplog, "unknown_key")


def test_elliptic_curve_keys_are_used(stranger: Visit, provider: ProviderDouble) -> None:
    provider.keys = [ec_key("ec").as_dict(private=False)]
    provider.sign = lambda claims: signed(claims, ec_key("ec"), "ES256")
    assert sign_in(stranger, provider).status_code == 303


def test_a_new_key_is_fetched_once_and_not_again_at_once(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert sign_in(stranger, provider).status_code == 303
    oidc = installation.node.provider
    assert oidc is not None
    monotonic = oidc._monotonic
    oidc._monotonic = lambda: monotonic() + 31
    provider.keys = [rsa_key("two").as_dict(private=False)]
    provider.sign = lambda claims: signed(claims, rsa_key("two"))
    other = Visit(installation.client())
    assert sign_in(other, provider).status_code == 303
    assert provider.asked.count("/keys") == 2
    # Neither the removed key is accepted, nor one that was never published.
    for name in ("one", "three"):
        provider.sign = lambda claims, name=name: signed(claims, rsa_key(name))
        refused(Visit(installation.client()), provider, caplog, "unknown_key")
    assert provider.asked.count("/keys") == 2


def _raise(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("secret detail")


OUTAGES: dict[str, Callable[[httpx.Request], httpx.Response]] = {
    "nobody answers": _raise,
    "an error": lambda request: httpx.Response(500, text="secret detail"),
    "a redirect": lambda request: httpx.Response(302, headers={"location": "https://evil.example"}),
    "no JSON": lambda request: httpx.Response(200, text="<html>"),
    "a list": lambda request: httpx.Response(200, json=[]),
    "deep JSON": lambda request: httpx.Response(200, text="[" * 100_000),
    "too much": lambda request: httpx.Response(200, text='"' + "x" * 300_000 + '"'),
    "nothing": lambda request: httpx.Response(204),
    # Small on the way, and large here.
    "compressed": lambda request: httpx.Response(
        200, content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"}
    ),
}


@pytest.mark.parametrize("what", OUTAGES)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/keys", "/token"])
def test_an_outage_is_an_error_page_and_lets_nobody_in(
    installation: Installation, provider: ProviderDouble, path: str, what: str
) -> None:
    def respond(request: httpx.Request) -> httpx.Response | None:
        return OUTAGES[what](request) if request.url.path == path else None

    provider.respond = respond
    visit = Visit(installation.client())
    page = visit.get("/sign-in/oidc?next=/authentications")
    if page.answer.status_code == 303:
        page = visit.get(provider.authorize(page.answer.headers["location"]))
    assert page.answer.status_code == 503, page.text
    assert page.links["Sign in with login.example.com"].endswith("next=/authentications")
    assert "can't be reached right now" in page.text
    assert "secret detail" not in page.text
    assert "gplt_" not in str(page.answer.headers)
    # Passwords work meanwhile.
    Visit.signed_in(installation.client())


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"issuer": ISSUER + "/"},
        {"token_endpoint": "http://login.example.com/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"token_endpoint": "https://user@login.example.com/"},
        {"token_endpoint": "https://[/"},
        {"token_endpoint": None},
        {"jwks_uri": 7},
        {"jwks_uri": "http://127.0.0.1:8788/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.example.com/\r\nx: y"},
    ],
)
def test_metadata_that_can_not_be_trusted_is_an_outage(
    stranger: Visit, provider: ProviderDouble, metadata: Claims
) -> None:
    provider.metadata = metadata
    assert stranger.get("/sign-in/oidc").answer.status_code == 503


REFUSED_USERS: dict[str, tuple[Claims, str]] = {
    "an address that isn't verified": ({"email_verified": False}, "email_not_verified"),
    "a text in place of true": ({"email_verified": "true"}, "email_not_verified"),
    "no word about the address": ({"email_verified": None}, "email_not_verified"),
    "no address": ({"email": None}, "email_not_verified"),
    "something else than an address": ({"email": "grace"}, "email_invalid"),
    "a user's address": ({"email": "ADA@example.com"}, "email_taken"),
    "an address that can't be stored": ({"email": "\ud800@example.com"}, "email_invalid"),
    "no role": ({"groups": ["others"]}, "no_role"),
    "no groups": ({"groups": None}, "no_role"),
    "groups that aren't texts": ({"groups": [7, None, {}]}, "no_role"),
}


@pytest.mark.parametrize("what", REFUSED_USERS)
def test_unknown_users_are_refused_with(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    changes, why = REFUSED_USERS[what]
    provider.claims |= changes
    refused(stranger, provider, caplog, why)
    assert list(users(installation)) == ["ada@example.com"]


def test_a_deactivated_users_address_makes_no_new_user(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    grace = installation.new_user("grace@example.com")
    installation.signed_in().post(f"/v1/users/{grace.id}/deactivate", json={})
    refused(stranger, provider, caplog, "user_deactivated")


@pytest.mark.parametrize("name", [None, "", 7, "\ud800", "a\0b", "x" * 300, "\u202e", "  \n "])
def test_any_name_makes_a_user(stranger: Visit, provider: ProviderDouble, name: Any) -> None:
    """One that can't be shown is replaced by the first part of the address."""
    provider.claims["name"] = name
    assert sign_in(stranger, provider).status_code == 303
    stranger.get("/account").shows("x" * 100 if name == "x" * 300 else "grace")


def test_a_flow_of_another_version_is_refused(
    installation: Installation, stranger: Visit, provider: ProviderDouble
) -> None:
    path = provider.authorize(set_out(stranger))
    oidc = installation.node.provider
    assert oidc is not None
    stranger.client.cookies.clear()
    stranger.client.cookies.set("gatepass-oidc", oidc.flows.encrypt(b'{"state": "x"}'))
    assert stranger.get(path).answer.status_code == 401


def test_the_first_mapping_that_fits_counts(
    installation: Installation, stranger: Visit, provider: ProviderDouble
) -> None:
    provider.claims["groups"] = ["staff", "boss"]
    sign_in(stranger, provider)
    assert users(installation)["grace@example.com"]["role"] == "admin"


def test_the_role_follows_the_claim_at_each_sign_in(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sign_in(stranger, provider)
    provider.claims["groups"] = ["boss"]
    sign_in(stranger, provider)
    assert users(installation)["grace@example.com"]["role"] == "admin"
    provider.claims["groups"] = "staff"
    sign_in(stranger, provider)
    assert users(installation)["grace@example.com"]["role"] == "manager"
    events = installation.signed_in().get("/v1/audit-events?limit=20").json()["items"]
    assert "Gatepass changed the role of Grace Hopper from Admin to Manager" in [
        event["sentence"] for event in events
    ]
    provider.claims["groups"] = []
    refused(Visit(installation.client()), provider, caplog, "no_role")


def test_a_deactivated_user_is_refused(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sign_in(stranger, provider)
    grace = users(installation)["grace@example.com"]
    installation.signed_in().post(f"/v1/users/{grace['id']}/deactivate", json={})
    refused(Visit(installation.client()), provider, caplog, "user_deactivated")


def test_the_allowlist_applies(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sign_in(stranger, provider)
    installation.allow_only("192.0.2.0/24")
    inside = {"X-Forwarded-For": "192.0.2.7"}
    visit = Visit(installation.client())
    assert sign_in(visit, provider).status_code == 401
    provider.claims |= {"sub": "another", "email": "b@example.com"}
    assert sign_in(visit, provider).status_code == 401
    assert caplog.messages[-1].partition("refused: ")[2].startswith("address_or_company")
    visit.client.headers.update(inside)
    assert sign_in(visit, provider).status_code == 303


def test_a_user_of_another_company_is_refused(
    installation: Installation,
    stranger: Visit,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody moves between companies."""
    sign_in(stranger, provider)
    installation.new_company("Difference Engines")
    with installation.write() as change:
        change.session.execute(
            update(companies)
            .where(companies.c.id == installation.company.id)
            .values(name_folded="renamed")
        )
        change.session.execute(
            update(companies)
            .where(companies.c.name == "Difference Engines")
            .values(name_folded="analytical engines")
        )
    refused(Visit(installation.client()), provider, caplog, "other_company")


class TestCompanyClaim:
    """A claim names the company."""

    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return SETTINGS | {"oidc_company": None, "oidc_company_claim": "org"}

    @pytest.mark.parametrize("by", ["name", "id"])
    def test_it_is_a_name_or_an_id(
        self, installation: Installation, stranger: Visit, provider: ProviderDouble, by: str
    ) -> None:
        other = installation.new_company("Difference Engines")
        provider.claims["org"] = getattr(other, by)
        assert sign_in(stranger, provider).status_code == 303
        stranger.get("/account").shows("Difference Engines")

    def test_an_id_goes_before_a_name(
        self, installation: Installation, stranger: Visit, provider: ProviderDouble
    ) -> None:
        """A company can have another one's id as its name."""
        meant = installation.new_company("Difference Engines")
        with installation.write() as change:
            impostor = update(companies).where(companies.c.id == installation.company.id)
            change.session.execute(impostor.values(name_folded=folded(meant.id)))
        provider.claims["org"] = meant.id
        assert sign_in(stranger, provider).status_code == 303
        stranger.get("/account").shows("Difference Engines")

    @pytest.mark.parametrize(
        "value", [None, "", "Unknown", 7, ["Analytical Engines"], "\ud800", "a\0b"]
    )
    def test_any_other_is_refused(
        self,
        stranger: Visit,
        provider: ProviderDouble,
        caplog: pytest.LogCaptureFixture,
        value: Any,
    ) -> None:
        provider.claims["org"] = value
        refused(stranger, provider, caplog, "no_company")


class TestWithoutRoles:
    """No mapping: only linked users sign in, and keep their roles."""

    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return SETTINGS | {"oidc_role_claim": None, "oidc_roles": ()}

    def test_new_users_are_refused_and_linked_ones_keep_theirs(
        self,
        stranger: Visit,
        rita: Visit,
        provider: ProviderDouble,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        refused(stranger, provider, caplog, "no_role")
        TestLinking().link(rita, provider)
        assert sign_in(stranger, provider).status_code == 303
        stranger.get("/account").shows("Rita Reporting", "Reporting")


class TestLinking:
    """An existing user links their account while signed in."""

    def link(self, visit: Visit, provider: ProviderDouble, **fields: str) -> httpx.Response:
        given = {"do": "link", "current_password": PASSWORD} | fields
        page = visit.send("/account/sign-in-provider", given)
        assert page.answer.status_code == 200, page.text
        return visit.get(provider.authorize(page.links["Continue to login.example.com"])).answer

    def test_they_then_sign_in_with_the_provider_and_can_unlink(
        self,
        installation: Installation,
        ada: Visit,
        provider: ProviderDouble,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        provider.claims |= {"email": "whatever@example.com", "groups": ["staff"]}
        answer = self.link(ada, provider)
        assert answer.headers["location"] == "/account/sign-in-provider?done=linked"
        visit = Visit(installation.client())
        assert sign_in(visit, provider).status_code == 303
        # The last administrator is never demoted, and stays an operator.
        visit.get("/account").shows("Ada Lovelace", "Admin")
        assert users(installation)["ada@example.com"]["role"] == "admin"
        wrong = {"do": "unlink", "current_password": "wrong"}
        assert ada.send("/account/sign-in-provider", wrong).answer.status_code == 422
        own = Visit(installation.client())
        assert sign_in(own, provider).status_code == 303
        done = own.send("/account/sign-in-provider", {"do": "unlink", "current_password": PASSWORD})
        assert done.answer.status_code == 303
        # The account at the provider may not be safe any more.
        assert visit.get("/account").answer.status_code == 303
        for still_in in (own, ada):
            still_in.get("/account").shows("login.example.com: not linked")
        provider.claims["email"] = "ada@example.com"
        refused(Visit(installation.client()), provider, caplog, "email_taken")

    def test_an_operator_links_a_user_on_the_command_line(
        self, installation: Installation, stranger: Visit, rita: Visit, provider: ProviderDouble
    ) -> None:
        """A provider's change: the user had another account."""
        with installation.write() as change:
            user = registered_users.by_email(change, "rita@example.com")
            assert user is not None
            for issuer, subject in (("https://old.example.com", "1"), (ISSUER, "sub-grace")):
                identities.assign(
                    change, Actor.command_line(), user, issuer=issuer, subject=subject
                )
        sign_in(stranger, provider)
        stranger.get("/account").shows("Rita Reporting")
        events = installation.signed_in().get("/v1/audit-events?limit=20").json()["items"]
        sentences = [event["sentence"] for event in events]
        for sentence in (
            "Rita Reporting was linked to their account at https://old.example.com",
            "The command line unlinked Rita Reporting's account at https://old.example.com",
            f"Rita Reporting was linked to their account at {ISSUER}",
        ):
            assert sentence in sentences, sentences

    def test_the_provider_asks_who_it_is(
        self, ada: Visit, stranger: Visit, provider: ProviderDouble
    ) -> None:
        """Another person's account, which the provider remembers, isn't linked by a click."""
        page = ada.send("/account/sign-in-provider", {"do": "link", "current_password": PASSWORD})
        assert "prompt=login" in page.links["Continue to login.example.com"]
        assert "prompt" not in set_out(stranger)

    def test_an_outage_leads_back(self, ada: Visit, provider: ProviderDouble) -> None:
        page = ada.send("/account/sign-in-provider", {"do": "link", "current_password": PASSWORD})
        provider.respond = lambda request: httpx.Response(500)
        path = provider.authorize(page.links["Continue to login.example.com"])
        location = ada.get(path).answer.headers["location"]
        ada.get(location).shows("Not linked: login.example.com can't be reached right now.")

    def test_a_wrong_password_links_nothing(self, ada: Visit, provider: ProviderDouble) -> None:
        page = ada.send("/account/sign-in-provider", {"do": "link", "current_password": "wrong"})
        assert page.answer.status_code == 422
        assert "gatepass-oidc" not in ada.client.cookies

    def test_another_users_identity_is_not_linked(
        self, stranger: Visit, ada: Visit, provider: ProviderDouble
    ) -> None:
        sign_in(stranger, provider)
        answer = self.link(ada, provider)
        assert answer.headers["location"] == "/account/sign-in-provider?failed=taken"

    def test_a_deactivated_users_identity_is_free(
        self, installation: Installation, stranger: Visit, rita: Visit, provider: ProviderDouble
    ) -> None:
        """They may have come back as another user."""
        sign_in(stranger, provider)
        grace = users(installation)["grace@example.com"]
        installation.signed_in().post(f"/v1/users/{grace['id']}/deactivate", json={})
        self.link(rita, provider)
        sign_in(stranger, provider)
        stranger.get("/account").shows("Rita Reporting")

    def test_the_second_factor_is_asked_for(
        self, installation: Installation, rita: Visit, provider: ProviderDouble
    ) -> None:
        """The new way in won't ask for it."""
        with installation.write() as change:
            change.session.execute(
                update(users_table)
                .where(users_table.c.name == "Rita Reporting")
                .values(totp_sealed=b"anything")
            )
        given = {"do": "link", "current_password": PASSWORD, "code": "000000"}
        page = rita.send("/account/sign-in-provider", given)
        assert page.answer.status_code in (422, 503)
        assert "gatepass-oidc" not in rita.client.cookies
        assert 'name="code"' in rita.get("/account/sign-in-provider").html

    def test_another_sign_in_of_the_browser_can_not_finish_it(
        self, installation: Installation, ada: Visit, rita: Visit, provider: ProviderDouble
    ) -> None:
        given = {"do": "link", "current_password": PASSWORD}
        page = ada.send("/account/sign-in-provider", given)
        rita.client.cookies.set("gatepass-oidc", ada.client.cookies["gatepass-oidc"])
        path = provider.authorize(page.links["Continue to login.example.com"])
        answer = rita.get(path).answer
        assert answer.headers["location"] == "/account/sign-in-provider?failed=refused"
        rita.get("/account").shows("login.example.com: not linked")

    def test_a_plain_sign_in_links_nothing(self, ada: Visit, provider: ProviderDouble) -> None:
        """The flow, and not the presence of a sign-in, says that it is for linking."""
        provider.claims["email"] = "ada@example.com"
        assert sign_in(ada, provider).status_code == 401
        ada.get("/account").shows("login.example.com: not linked")


class TestSecondFactor:
    """A company that requires one."""

    @pytest.fixture(autouse=True)
    def required(self, installation: Installation) -> None:
        with installation.write() as change:
            change.session.execute(update(companies).values(second_factor_required=True))

    def test_the_providers_counts_if_it_says_so(
        self, stranger: Visit, provider: ProviderDouble, caplog: pytest.LogCaptureFixture
    ) -> None:
        for methods in (None, [], ["pwd"], "mfa"):
            provider.claims["amr"] = methods
            refused(stranger, provider, caplog, "second_factor_missing")
        provider.claims["amr"] = ["pwd", "mfa"]
        assert sign_in(stranger, provider).status_code == 303
        assert stranger.get("/access-tokens").answer.status_code == 200

    def test_a_sign_in_from_before_the_rule_counts_no_more(
        self, installation: Installation, stranger: Visit, provider: ProviderDouble
    ) -> None:
        def require(required: bool) -> None:
            with installation.write() as change:
                change.session.execute(update(companies).values(second_factor_required=required))

        require(False)
        sign_in(stranger, provider)
        assert stranger.get("/access-tokens").answer.status_code == 200
        require(True)
        assert stranger.get("/access-tokens").answer.status_code == 303
