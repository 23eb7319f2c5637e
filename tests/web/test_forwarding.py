"""Forwarding headers that are unreadable or come from an untrusted peer."""

import httpx
import pytest

from tests.support.apps.installation import PASSWORD, Installation

SIGN_IN = {"email": "ada@example.com", "password": PASSWORD}


@pytest.mark.parametrize("forwarded", ["unknown", "", "203.0.113.9, ,127.0.0.1", "[2001:db8::1]"])
def test_an_unreadable_header_is_named(
    installation: Installation,
    ada: httpx.Client,
    forwarded: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The proxy is at fault, neither the company's allowlist nor the token's networks."""
    headers = {"X-Forwarded-For": forwarded}
    for answer in (
        ada.get("/v1/me", headers=headers),
        installation.client().post("/v1/authentications", json=SIGN_IN, headers=headers),
    ):
        assert (answer.status_code, answer.json()["reason"]) == (403, "address_not_allowed")
        assert "forwarding header" in answer.json()["detail"]
    page = ada.get("/company/security", headers={**headers, "Accept": "text/html"})
    assert page.status_code == 403
    assert "X-Forwarded-For" in page.text
    (line,) = [line for line in caplog.messages if "X-Forwarded-For" in line]
    assert "'127.0.0.1'" in line


def test_a_forwarded_address_may_have_a_port(ada: httpx.Client) -> None:
    """Azure's gateway sends it with its port."""
    answer = ada.get("/v1/me", headers={"X-Forwarded-For": "203.0.113.9:51008"})
    assert answer.json()["address"] == "203.0.113.9"
    answer = ada.get("/v1/me", headers={"X-Forwarded-For": "[2001:db8::7]:51008, 127.0.0.1:4711"})
    assert answer.json()["address"] == "2001:db8::7"


def test_an_untrusted_header_is_logged_and_shown(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """On the page that shows the visitor's address, and once a minute in the log."""
    ada = installation.signed_in(peer="203.0.113.80")
    assert "GATEPASS_TRUSTED_PROXIES" not in ada.get("/company/security").text
    assert not caplog.messages
    for _ in range(3):
        page = ada.get("/company/security", headers={"X-Forwarded-For": "198.51.100.7"})
        assert "GATEPASS_TRUSTED_PROXIES" in page.text
        assert "203.0.113.80" in page.text
        assert "198.51.100.7" not in page.text
    assert ada.get("/v1/me", headers={"X-Forwarded-For": "x"}).json()["address"] == "203.0.113.80"
    (line,) = [line for line in caplog.messages if "X-Forwarded-For" in line]
    assert "'203.0.113.80'" in line
    assert "GATEPASS_TRUSTED_PROXIES" in line
    assert "198.51.100.7" not in line
