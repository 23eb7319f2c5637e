"""/v1/oidc/global-token-revocation: the provider ends everything of a user, on every node."""

import logging
from typing import Any

import httpx
import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.authentication import identities
from tests.support.apps.installation import Installation
from tests.support.apps.problems import fields, reasons
from tests.support.oidc.provider_double import ISSUER, SETTINGS, Claims, ProviderDouble, rsa_key
from tests.web.api.account.test_back_channel_logout import double_of, is_in, signed_in

PATH = "/v1/oidc/global-token-revocation"
GRACE = {"format": "iss_sub", "iss": ISSUER, "sub": "sub-grace"}


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return SETTINGS


@pytest.fixture
def provider(installation: Installation) -> ProviderDouble:
    return double_of(installation)


def revoke(installation: Installation, token: str, who: Any = GRACE) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    return installation.client().post(PATH, json={"sub_id": who}, headers=headers)


@pytest.mark.parametrize("who", [GRACE, {"format": "email", "email": "Grace@example.com"}])
def test_it_ends_the_users_sign_ins_and_access_tokens(
    any_installation: Installation, who: dict[str, str]
) -> None:
    installation, provider = any_installation, double_of(any_installation)
    visit = signed_in(installation, provider)
    made = visit.client.post(
        "/v1/access-tokens",
        json={"label": "Hers", "kind": "api", "permissions": ["charges:get"]},
        headers={"origin": "http://127.0.0.1:8787"},
    )
    hers = made.json()["token"]
    other = installation.access_token("charges:get")
    answer = revoke(installation, provider.revocation_token(), who)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not is_in(visit)
    assert installation.verify(hers, permission="charges:get")["reason"] == "token_deactivated"
    assert installation.verify(other, permission="charges:get")["allowed"]
    events = installation.signed_in().get("/v1/audit-events").json()["items"]
    sentence = (
        "The sign-in provider revoked all tokens of Grace Hopper, "
        "which ended 1 access token and 1 sign-in"
    )
    assert sentence in [event["sentence"] for event in events]
    # The user themselves isn't deactivated.
    assert is_in(signed_in(installation, provider))


def test_a_sign_in_that_began_before_is_refused(
    installation: Installation, provider: ProviderDouble
) -> None:
    visit = signed_in(installation, provider)
    path = provider.authorize(visit.get("/sign-in/oidc").answer.headers["location"])
    assert revoke(installation, provider.revocation_token()).status_code == 204
    assert visit.get(path).answer.status_code == 401


def test_a_token_is_accepted_once(
    installation: Installation, provider: ProviderDouble, caplog: pytest.LogCaptureFixture
) -> None:
    signed_in(installation, provider)
    token = provider.revocation_token()
    assert revoke(installation, token).status_code == 204
    visit = signed_in(installation, provider)
    with caplog.at_level(logging.WARNING, "gatepass.oidc"):
        assert reasons(revoke(installation, token)) == (401, "token_invalid")
    assert caplog.messages[-1].endswith("refused: used")
    assert is_in(visit)


def test_whom_the_provider_does_not_know_stays(
    installation: Installation, provider: ProviderDouble
) -> None:
    """An address names only users who are linked to this provider's accounts."""
    ada = installation.signed_in()
    user = installation.new_user("linked@example.com", "Lena")
    with installation.write() as change:
        identities.add(change, Actor.system(), user, issuer="https://old.example", subject="1")
    for who in (
        GRACE | {"sub": "unknown"},
        GRACE | {"iss": "https://evil.example"},
        {"format": "email", "email": "ada@example.com"},
        {"format": "email", "email": "linked@example.com"},
        {"format": "email", "email": "nobody@example.com"},
    ):
        assert revoke(installation, provider.revocation_token(), who).status_code == 404
    assert ada.get("/v1/me").status_code == 200


@pytest.mark.parametrize("text", ["\x00", "a\x00b@example.com", "\n", "é" * 200])
def test_texts_that_no_account_has(any_installation: Installation, text: str) -> None:
    """Some can't be stored, so they can't be looked up either."""
    installation, provider = any_installation, double_of(any_installation)
    for who in (GRACE | {"sub": text}, {"format": "email", "email": text}):
        answer = revoke(installation, provider.revocation_token(), who)
        assert answer.status_code == 404, (who, answer.text)


@pytest.mark.parametrize(
    ("who", "field"),
    [
        ({"format": "opaque", "id": "1"}, "sub_id.format"),
        ({"format": "iss_sub", "iss": ISSUER}, "sub_id.sub"),
        ({"format": "email"}, "sub_id.email"),
        ({**GRACE, "extra": 1}, "sub_id.extra"),
        ("sub-grace", "sub_id"),
    ],
)
def test_another_subject_is_422(
    installation: Installation, provider: ProviderDouble, who: Any, field: str
) -> None:
    visit = signed_in(installation, provider)
    answer = revoke(installation, provider.revocation_token(), who)
    assert answer.status_code == 422
    assert field in fields(answer)
    assert is_in(visit)


REFUSED: dict[str, tuple[Claims, str]] = {
    "a logout token's type": ({"header": {"typ": "logout+jwt"}}, "type"),
    "no type": ({"header": {"typ": None}}, "type"),
    "another key": ({"key": rsa_key("two"), "header": {"kid": "one"}}, "signature"),
    "another issuer": ({"iss": "https://evil.example"}, "issuer"),
    "the client as its audience": ({"aud": "gatepass"}, "audience"),
    "another endpoint": ({"aud": "https://other.example" + PATH}, "audience"),
    "no id": ({"jti": None}, "jti"),
    "issued long ago": ({"iat": 1_000_000_000}, "issued_at"),
    "expired": ({"exp": 1_000_000_000}, "expired"),
    "no expiry": ({"exp": None}, "expired"),
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
        answer = revoke(installation, provider.revocation_token(**changes))
    assert reasons(answer) == (401, "token_invalid")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert caplog.messages[-1].endswith(f"refused: {why}")
    assert is_in(visit)


def test_the_token_comes_in_one_authorization_header(
    installation: Installation, provider: ProviderDouble
) -> None:
    visit = signed_in(installation, provider)
    token, client = provider.revocation_token(), installation.client()
    for headers in (
        [],
        [("authorization", f"Basic {token}")],
        [("authorization", f"Bearer {token}"), ("authorization", f"Bearer {token}")],
        [("x-access-token", token)],
    ):
        answer = client.post(PATH, json={"sub_id": GRACE}, headers=headers)
        assert reasons(answer) == (401, "token_invalid")
    assert is_in(visit)
