"""A dashboard opened at another origin than GATEPASS_PUBLIC_URL explains its refusals to
users and operators; other sites are refused without an explanation.
"""

import logging
from typing import Any

import pytest
from starlette.requests import Request

from gatepass.web.app import create_app
from gatepass.web.public_origin import opened_elsewhere
from tests.support.apps.installation import PASSWORD, Installation

UNSET = "http://127.0.0.1:8787"
PUBLIC = "http://gate.internal:8787"
SECURE = "https://gate.example.com"
EVIL = "http://evil.example"
OURS, UNSURE, NOTHING = True, False, None


def elsewhere(public_url: str, *headers: tuple[str, str]) -> bool | None:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    found = opened_elsewhere(Request({"type": "http", "headers": raw}), public_url)
    return None if found is None else found.is_ours


@pytest.mark.parametrize(
    ("public_url", "origin", "host", "more", "found"),
    [
        # At the public URL.
        (UNSET, UNSET, "127.0.0.1:8787", {}, NOTHING),
        (SECURE, SECURE, "gate.example.com", {}, NOTHING),
        (SECURE, SECURE, "upstream:8787", {}, NOTHING),
        # By another name: the setting is missing or wrong.
        (UNSET, "http://gate.internal:8787", "gate.internal:8787", {}, OURS),
        (UNSET, "http://192.0.2.7:8787", "192.0.2.7:8787", {}, OURS),
        (UNSET, "http://[2001:db8::7]:8787", "[2001:db8::7]:8787", {}, OURS),
        (UNSET, "http://gate.internal", "gate.internal", {}, OURS),
        (UNSET, "http://gate.internal", "Gate.Internal:80", {}, OURS),
        (SECURE, "http://gate.example.com", "gate.example.com", {}, OURS),
        (PUBLIC, "http://gate:8787", "gate:8787", {}, OURS),
        (PUBLIC, "http://gate", "upstream", {"X-Forwarded-Host": "gate"}, OURS),
        # The browser calls it same-origin; the setting is wrong anyway.
        (UNSET, SECURE, "127.0.0.1:8787", {"Sec-Fetch-Site": "same-origin"}, OURS),
        # A proxy that replaces Host.
        (UNSET, "http://gate.internal", "127.0.0.1:8787", {}, UNSURE),
        (SECURE, "http://gate.internal", "upstream:8787", {}, UNSURE),
        # A form of another site.
        (PUBLIC, EVIL, "gate.internal:8787", {}, NOTHING),
        (SECURE, EVIL, "gate.example.com", {}, NOTHING),
        (PUBLIC, "http://gate.internal:9000", "gate.internal:8787", {}, NOTHING),
        (UNSET, EVIL, "127.0.0.1:8787", {"Sec-Fetch-Site": "cross-site"}, NOTHING),
        (UNSET, EVIL, "evil.example", {"Sec-Fetch-Site": "cross-site"}, NOTHING),
        (UNSET, EVIL, "evil.example", {"Sec-Fetch-Site": "same-site"}, NOTHING),
        # Origins that must not be shown.
        (UNSET, "null", "null", {}, NOTHING),
        (UNSET, "", "", {}, NOTHING),
        (UNSET, "http://a b", "a b", {}, NOTHING),
        (UNSET, "http://<script>", "<script>", {}, NOTHING),
        (UNSET, "http://u:p@gate", "u:p@gate", {}, NOTHING),
        (UNSET, "http://gate/x", "gate/x", {}, NOTHING),
        (UNSET, "ftp://gate", "gate", {}, NOTHING),
        (UNSET, "http://" + "a" * 300, "a" * 300, {}, NOTHING),
        (UNSET, "http://g\xe4te", "g\xe4te", {}, NOTHING),
    ],
)
def test_a_request_from_another_origin_is_classified(
    public_url: str, origin: str, host: str, more: dict[str, str], found: bool | None
) -> None:
    assert elsewhere(public_url, ("Origin", origin), ("Host", host), *more.items()) is found


def test_repeated_headers_are_ignored() -> None:
    host = ("Host", "gate:8787")
    one, other = ("Origin", "http://gate:8787"), ("Origin", EVIL)
    assert elsewhere(UNSET, one, host)
    assert elsewhere(UNSET, one, other, host) is None
    assert elsewhere(UNSET, host) is None
    twice = [("Sec-Fetch-Site", "same-origin")] * 2
    assert elsewhere(UNSET, one, host, *twice) is None


def sent(installation: Installation, origin: str, host: str, path: str = "/sign-in") -> Any:
    form = {"email": "ada@example.com", "password": PASSWORD}
    return installation.client().post(
        path, data=form, headers={"Origin": origin, "Host": host}, follow_redirects=False
    )


def test_the_page_names_the_setting_and_the_log_has_one_line(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """The owner signs in at the server's name; GATEPASS_PUBLIC_URL isn't set."""
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            page = sent(installation, "http://gate.internal:8787", "gate.internal:8787")
    assert page.status_code == 403
    assert "set-cookie" not in page.headers
    assert "cross_site" in page.text
    for told in ("GATEPASS_PUBLIC_URL", "http://gate.internal:8787", UNSET):
        assert told in page.text
    assert "another site" not in page.text
    [line] = caplog.messages
    assert "GATEPASS_PUBLIC_URL" in line
    assert "'http://gate.internal:8787'" in line
    assert UNSET in line


def test_behind_a_proxy_that_replaces_host_the_page_shows_no_origin(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """nginx replaces it by default. An attack on the loopback address from an old browser looks the
    same, so the page must not show the attacker's origin."""
    with caplog.at_level(logging.WARNING):
        page = sent(installation, "http://gate.internal", "127.0.0.1:8787")
    assert page.status_code == 403
    assert "Request from another site" in page.text
    assert "GATEPASS_PUBLIC_URL" in page.text
    assert "gate.internal" not in page.text
    [line] = caplog.messages
    assert "'http://gate.internal'" in line


def at(installation: Installation, public_url: str) -> Installation:
    """The installation with *public_url* as the setting."""
    installation.node.settings = installation.node.settings.with_(public_url=public_url)
    installation.app = create_app(installation.node)
    return installation


@pytest.mark.parametrize("public_url", [PUBLIC, SECURE])
def test_another_site_is_refused_without_an_explanation(
    installation: Installation, caplog: pytest.LogCaptureFixture, public_url: str
) -> None:
    """Neither the page nor the log names a setting or the attacker's origin."""
    at(installation, public_url)
    with caplog.at_level(logging.WARNING):
        page = sent(installation, EVIL, public_url.partition("://")[2])
    assert page.status_code == 403
    assert "Request from another site" in page.text
    assert "GATEPASS" not in page.text
    assert "evil.example" not in page.text
    assert caplog.messages == []


def test_a_matching_origin_and_host_is_still_refused(installation: Installation) -> None:
    """An attacker's name may lead here (DNS rebinding). The page shows only the public URL, which
    everyone who gets mail knows."""
    for host in ("evil.example", "evil.example:8787"):
        page = sent(installation, f"http://{host}", host)
        assert page.status_code == 403
        assert "set-cookie" not in page.headers
        assert f"http://{host}," in page.text


def test_a_successful_sign_in_at_another_origin_is_logged(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind TLS the browser calls it same-origin, but links in mail lead elsewhere."""
    headers = {"Origin": SECURE, "Sec-Fetch-Site": "same-origin"}
    form = {"email": "ada@example.com", "password": PASSWORD}
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            answer = installation.client().post(
                "/sign-in", data=form, headers=headers, follow_redirects=False
            )
            assert answer.status_code == 303
        # A tunnel on loopback isn't logged.
        tunnel = headers | {"Origin": "http://localhost:9000"}
        installation.client().post("/sign-in", data=form, headers=tunnel, follow_redirects=False)
    [line] = caplog.messages
    assert f"'{SECURE}'" in line
    assert "GATEPASS_PUBLIC_URL" in line


@pytest.mark.parametrize(
    ("origin", "host", "told"),
    [
        ("http://gate.internal:8787", "gate.internal:8787", True),
        ("http://gate.internal", "127.0.0.1:8787", False),
        (EVIL, "127.0.0.1:8787", False),
        (UNSET, "127.0.0.1:8787", None),
    ],
)
def test_the_api_explains_why_a_cookie_is_ignored(
    installation: Installation, origin: str, host: str, told: bool | None
) -> None:
    """Only in ``detail``, and only if there is a cookie."""
    cookie = {"Cookie": f"gatepass={installation.sign_in()}"}
    client = installation.client()
    headers = {"Origin": origin, "Host": host}
    answer = client.get("/v1/me", headers=headers | cookie)
    if told is None:
        assert answer.status_code == 200
        return
    plain = client.get("/v1/me", headers=headers).json()
    assert answer.status_code == 401
    problem = answer.json()
    assert problem["reason"] == plain["reason"] == "token_missing"
    assert "GATEPASS" not in plain["detail"]
    if told:
        assert "GATEPASS_PUBLIC_URL" in problem["detail"]
        assert origin in problem["detail"]
        assert UNSET in problem["detail"]
    else:
        assert problem == plain
