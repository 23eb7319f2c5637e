"""A dashboard that is open at another origin than GATEPASS_PUBLIC_URL explains its refusals to
users and operators; another site is refused without an explanation."""

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
        # Where it should be.
        (UNSET, UNSET, "127.0.0.1:8787", {}, NOTHING),
        (SECURE, SECURE, "gate.example.com", {}, NOTHING),
        (SECURE, SECURE, "upstream:8787", {}, NOTHING),
        # By its name, where the setting was forgotten or names another.
        (UNSET, "http://gate.internal:8787", "gate.internal:8787", {}, OURS),
        (UNSET, "http://192.0.2.7:8787", "192.0.2.7:8787", {}, OURS),
        (UNSET, "http://[2001:db8::7]:8787", "[2001:db8::7]:8787", {}, OURS),
        (UNSET, "http://gate.internal", "gate.internal", {}, OURS),
        (UNSET, "http://gate.internal", "Gate.Internal:80", {}, OURS),
        (SECURE, "http://gate.example.com", "gate.example.com", {}, OURS),
        (PUBLIC, "http://gate:8787", "gate:8787", {}, OURS),
        (PUBLIC, "http://gate", "upstream", {"X-Forwarded-Host": "gate"}, OURS),
        # Allowed by what the browser says; the setting is wrong all the same.
        (UNSET, SECURE, "127.0.0.1:8787", {"Sec-Fetch-Site": "same-origin"}, OURS),
        # A proxy that sends a Host of its own.
        (UNSET, "http://gate.internal", "127.0.0.1:8787", {}, UNSURE),
        (SECURE, "http://gate.internal", "upstream:8787", {}, UNSURE),
        # Another site's page sends to the address that ours is open at.
        (PUBLIC, EVIL, "gate.internal:8787", {}, NOTHING),
        (SECURE, EVIL, "gate.example.com", {}, NOTHING),
        (PUBLIC, "http://gate.internal:9000", "gate.internal:8787", {}, NOTHING),
        (UNSET, EVIL, "127.0.0.1:8787", {"Sec-Fetch-Site": "cross-site"}, NOTHING),
        (UNSET, EVIL, "evil.example", {"Sec-Fetch-Site": "cross-site"}, NOTHING),
        (UNSET, EVIL, "evil.example", {"Sec-Fetch-Site": "same-site"}, NOTHING),
        # No origin that could be shown.
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
def test_the_origin_of_a_request(
    public_url: str, origin: str, host: str, more: dict[str, str], found: bool | None
) -> None:
    assert elsewhere(public_url, ("Origin", origin), ("Host", host), *more.items()) is found


def test_repeated_headers_are_not_trusted() -> None:
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
    """The owner signs in at the server's name, and GATEPASS_PUBLIC_URL was forgotten."""
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


def test_behind_a_proxy_with_a_host_of_its_own_the_setting_is_named_too(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """As nginx does unless it is told otherwise. It might be an attack on the address on loopback,
    by a browser that is too old to say so: where it came from isn't shown, so no page can be made
    that advertises an address."""
    with caplog.at_level(logging.WARNING):
        page = sent(installation, "http://gate.internal", "127.0.0.1:8787")
    assert page.status_code == 403
    assert "Request from another site" in page.text
    assert "GATEPASS_PUBLIC_URL" in page.text
    assert "gate.internal" not in page.text
    [line] = caplog.messages
    assert "'http://gate.internal'" in line


def at(installation: Installation, public_url: str) -> Installation:
    """The installation, set up for that address."""
    installation.node.settings = installation.node.settings.with_(public_url=public_url)
    installation.app = create_app(installation.node)
    return installation


@pytest.mark.parametrize("public_url", [PUBLIC, SECURE])
def test_another_site_is_refused_without_an_explanation(
    installation: Installation, caplog: pytest.LogCaptureFixture, public_url: str
) -> None:
    """By a form that it sends to our address: neither the page nor the log speaks of a setting, or
    shows the address that the attacker chose."""
    at(installation, public_url)
    with caplog.at_level(logging.WARNING):
        page = sent(installation, EVIL, public_url.partition("://")[2])
    assert page.status_code == 403
    assert "Request from another site" in page.text
    assert "GATEPASS" not in page.text
    assert "evil" not in page.text
    assert caplog.messages == []


def test_origin_and_host_that_agree_admit_nothing(installation: Installation) -> None:
    """However well Origin and Host agree (a name of the attacker's that leads here: DNS rebinding),
    nothing is done. The page tells an address that everybody who gets mail from here knows."""
    for host in ("evil.example", "evil.example:8787"):
        page = sent(installation, f"http://{host}", host)
        assert page.status_code == 403
        assert "set-cookie" not in page.headers
        assert f"http://{host}," in page.text


def test_what_works_at_another_address_is_logged(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind TLS a browser says that the form is our own, and it is: but mail leads elsewhere."""
    headers = {"Origin": SECURE, "Sec-Fetch-Site": "same-origin"}
    form = {"email": "ada@example.com", "password": PASSWORD}
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            answer = installation.client().post(
                "/sign-in", data=form, headers=headers, follow_redirects=False
            )
            assert answer.status_code == 303
        # Through a tunnel, somebody looks at it by the way.
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
def test_the_api_says_why_a_cookie_doesnt_count(
    installation: Installation, origin: str, host: str, told: bool | None
) -> None:
    """In `detail`; status and reason are as ever. Without a cookie there is nothing to say."""
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
