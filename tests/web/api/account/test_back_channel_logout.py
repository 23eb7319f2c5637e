"""/v1/oidc/back-channel-logout: the provider signs a user out, on every node."""

import logging
from typing import Any

import httpx
import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.directory import users
from gatepass.registry.membership import invitation_links, password_resets
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Visit
from tests.support.oidc.provider_double import (
    EVENT,
    ISSUER,
    SECRET,
    SETTINGS,
    Claims,
    ProviderDouble,
    rsa_key,
    unsigned,
    with_hmac,
)

LOGOUT = "/v1/oidc/back-channel-logout"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return SETTINGS


def double_of(installation: Installation) -> ProviderDouble:
    double = ProviderDouble()
    double.now = lambda: installation.node.clock.now() / 1000
    double.serve(installation.node.provider)
    return double


@pytest.fixture
def provider(installation: Installation) -> ProviderDouble:
    return double_of(installation)


def signed_in(installation: Installation, provider: ProviderDouble) -> Visit:
    visit = Visit(installation.client())
    location = visit.get("/sign-in/oidc").answer.headers["location"]
    assert visit.get(provider.authorize(location)).answer.status_code == 303
    return visit


def log_out(installation: Installation, token: str) -> httpx.Response:
    return installation.client().post(LOGOUT, data={"logout_token": token})


def is_in(visit: Visit) -> bool:
    return visit.get("/access-tokens").answer.status_code == 200


@pytest.mark.parametrize(
    "names", [{}, {"sid": "session-1"}, {"sub": None, "sid": "session-1"}], ids=str
)
def test_it_ends_all_sign_ins_of_the_user(
    any_installation: Installation, names: dict[str, Any]
) -> None:
    installation, provider = any_installation, double_of(any_installation)
    one, two = signed_in(installation, provider), signed_in(installation, provider)
    other = Visit.signed_in(installation.client())
    answer = log_out(installation, provider.logout_token(**names))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not is_in(one)
    assert not is_in(two)
    assert is_in(other)
    events = installation.signed_in().get("/v1/audit-events").json()["items"]
    sentence = "The sign-in provider signed Grace Hopper out, which ended 2 sign-ins"
    assert sentence in [event["sentence"] for event in events]
    # A new sign-in afterwards is another matter.
    assert is_in(signed_in(installation, provider))


def test_a_token_is_accepted_once(any_installation: Installation) -> None:
    installation, provider = any_installation, double_of(any_installation)
    signed_in(installation, provider)
    token = provider.logout_token()
    assert log_out(installation, token).status_code == 200
    visit = signed_in(installation, provider)
    assert log_out(installation, token).status_code == 400
    assert is_in(visit)


def test_a_sign_in_that_began_before_the_logout_is_refused(
    installation: Installation, provider: ProviderDouble
) -> None:
    """Else someone who leaves could keep an answer of the provider for later."""
    signed_in(installation, provider)
    visit = Visit(installation.client())
    path = provider.authorize(visit.get("/sign-in/oidc").answer.headers["location"])
    assert log_out(installation, provider.logout_token()).status_code == 200
    assert visit.get(path).answer.status_code == 401
    assert not is_in(visit)


def test_an_unknown_user_is_no_error(installation: Installation, provider: ProviderDouble) -> None:
    for names in ({"sub": "unknown"}, {"sub": None, "sid": "unknown"}):
        assert log_out(installation, provider.logout_token(**names)).status_code == 200


REFUSED: dict[str, tuple[Claims, str]] = {
    "an ID token's type": ({"header": {"typ": "JWT"}}, "type"),
    "no type": ({"header": {"typ": None}}, "type"),
    "another key": ({"key": rsa_key("two"), "header": {"kid": "one"}}, "signature"),
    "an unknown key": ({"key": rsa_key("two")}, "unknown_key"),
    "another issuer": ({"iss": "https://evil.example"}, "issuer"),
    "another audience": ({"aud": "other"}, "audience"),
    "no audience": ({"aud": None}, "audience"),
    "no event": ({"events": {}}, "events"),
    "no events": ({"events": None}, "events"),
    "events as a list": ({"events": [EVENT]}, "events"),
    "an event that is no object": ({"events": {EVENT: True}}, "events"),
    "a nonce": ({"nonce": "x"}, "nonce"),
    "no id": ({"jti": None}, "jti"),
    "an id that is a number": ({"jti": 7}, "jti"),
    "a long id": ({"jti": "x" * 256}, "jti"),
    "nobody": ({"sub": None}, "subject"),
    "issued long ago": ({"iat": 1_000_000_000}, "issued_at"),
    "issued in the future": ({"iat": 9_000_000_000}, "issued_at"),
    "no time of issue": ({"iat": None}, "issued_at"),
    "expired": ({"exp": 1_000_000_000}, "expired"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_other_tokens_end_nothing(
    installation: Installation,
    provider: ProviderDouble,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    changes, why = REFUSED[what]
    visit = signed_in(installation, provider)
    with caplog.at_level(logging.WARNING, "gatepass.oidc"):
        answer = log_out(installation, provider.logout_token(**changes))
    assert answer.status_code == 400
    assert answer.json()["reason"] == "invalid_request"
    assert caplog.messages[-1].endswith(f"refused: {why}")
    assert is_in(visit)


def test_tokens_without_a_provider_s_signature_end_nothing(
    installation: Installation, provider: ProviderDouble
) -> None:
    visit = signed_in(installation, provider)
    claims = {"iss": ISSUER, "sub": "sub-grace", "events": {EVENT: {}}}
    public = rsa_key("one").as_pem(private=False)
    for token in (unsigned(claims), with_hmac(claims, public), with_hmac(claims, SECRET.encode())):
        assert log_out(installation, token).status_code == 400
    assert is_in(visit)


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        ("", "application/x-www-form-urlencoded", 400),
        ("logout_token=", "application/x-www-form-urlencoded", 400),
        ("logout_token=a&logout_token=b", "application/x-www-form-urlencoded", 400),
        ("logout_token=%ff", "application/x-www-form-urlencoded", 400),
        ("x=" + "&x=" * 50, "application/x-www-form-urlencoded", 400),
        ("{}", "application/json", 415),
        ("", "", 415),
    ],
)
def test_other_bodies_are_refused(
    installation: Installation, provider: ProviderDouble, body: str, media_type: str, status: int
) -> None:
    answer = installation.client().post(LOGOUT, content=body, headers={"content-type": media_type})
    assert answer.status_code == status


def test_an_outage_of_the_provider_is_503(
    installation: Installation, provider: ProviderDouble
) -> None:
    provider.respond = lambda request: httpx.Response(500)
    answer = log_out(installation, provider.logout_token())
    assert answer.status_code == 503
    assert answer.json()["reason"] == "provider_unavailable"


class TestRequired:
    """OIDC_REQUIRED: the passwords of all but operators are refused."""

    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return SETTINGS | {"oidc_required": True}

    def test_passwords_are_refused_except_operators(
        self, installation: Installation, provider: ProviderDouble
    ) -> None:
        installation.new_user("bob@example.com", role="manager")
        fields = {"email": "bob@example.com", "password": PASSWORD}
        answer = installation.client().post("/v1/authentications", json=fields)
        assert (answer.status_code, answer.json()["reason"]) == (401, "sign_in_failed")
        page = Visit(installation.client()).send("/sign-in", fields)
        assert page.answer.status_code == 401
        installation.sign_in("ada@example.com")
        signed_in(installation, provider)

    def test_the_page_offers_passwords_to_operators_alone(self, installation: Installation) -> None:
        page = Visit(installation.client()).get("/sign-in")
        page.shows("Sign in with login.example.com", "Operators: sign in with a password")

    def test_resets_are_for_operators_alone(self, installation: Installation) -> None:
        installation.new_user("bob@example.com", role="manager")
        with installation.node.database.read(installation.node.clock.now()) as reading:
            due = {
                email: password_resets.is_due(reading, email, operators_only=True)
                for email in ("bob@example.com", "ada@example.com")
            }
        assert due == {"bob@example.com": False, "ada@example.com": True}

    def test_links_of_before_are_a_page_that_says_so(self, installation: Installation) -> None:
        installation.new_user("bob@example.com", role="manager")
        links = {}
        with installation.write() as change:
            for name in ("bob", "ada"):
                user = users.by_email(change, f"{name}@example.com")
                assert user is not None
                links[name], _ = password_resets.take_link(change, Actor.command_line(), user)
        new = {"email": "eve@example.com", "role": "manager"}
        invitation = installation.signed_in().post("/v1/invitations", json=new).json()
        with installation.node.database.auxiliary_write(installation.node.clock.now()) as write:
            letter = invitation_links.make_link(write, invitation["id"])
        assert letter is not None
        password = {"password": "another long password"}
        for path in (f"/password-resets/{links['bob']}", f"/invitations/{letter.token}"):
            for page in (
                Visit(installation.client()).get(path),
                Visit(installation.client()).send(path, password),
            ):
                assert page.answer.status_code == 409
                page.shows("Passwords aren't accepted", "Sign in with your company's account")
                assert 'type="password"' not in page.html
        operators = f"/password-resets/{links['ada']}"
        assert Visit(installation.client()).get(operators).answer.status_code == 200
        done = Visit(installation.client()).send(operators, password)
        assert done.answer.status_code == 303

    def test_one_who_is_linked_can_not_unlink(
        self, installation: Installation, provider: ProviderDouble
    ) -> None:
        visit = signed_in(installation, provider)
        page = visit.send(
            "/account/sign-in-provider", {"do": "unlink", "current_password": PASSWORD}
        )
        assert page.answer.status_code == 409
        assert is_in(signed_in(installation, provider))


def test_without_a_provider_there_is_nothing(open_installation: Any, sqlite_url: str) -> None:
    installation = open_installation(sqlite_url)
    assert log_out(installation, "x").status_code == 404
    visit = Visit.signed_in(installation.client())
    for path in ("/sign-in/oidc", "/sign-in/oidc/callback", "/account/sign-in-provider"):
        assert visit.get(path).answer.status_code == 404
    assert "Sign in with" not in visit.get("/sign-in?again=1").text
