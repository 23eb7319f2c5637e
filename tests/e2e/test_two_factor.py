"""Turning on two-factor and changing the password, in a real Chromium."""

import re
from collections.abc import Callable

import pyotp
from playwright.sync_api import Page, expect

from tests.support.browser.accessibility import barriers
from tests.support.processes.demo import Demo

NEW = "seven brass kettles sing"


def sign_in(page: Page, email: str, password: str, code: str = "") -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Two-factor code").fill(code)
    page.get_by_role("button", name="Sign in").click()


def test_two_factor_and_a_new_password(demo: Demo, open_window: Callable[..., Page]) -> None:
    page = open_window()
    page.goto("/account/two-factor")
    sign_in(page, demo.email, demo.password)
    secret = page.locator("#secret").inner_text().replace(" ", "")
    expect(page.get_by_role("img", name="A QR code")).to_be_visible()
    # Valid until the next step has passed, too.
    page.get_by_label("Code from the app").fill(pyotp.TOTP(secret).now())
    page.get_by_label("Current password").fill(demo.password)
    page.get_by_role("button", name="Turn on two-factor").click()
    codes = page.locator("#codes").inner_text().split()
    assert len(codes) == 10
    assert barriers(page) == []
    page.go_back()
    page.goto("/sign-in?again=1")
    sign_in(page, demo.email, demo.password)
    expect(page.get_by_role("alert")).to_contain_text("Incorrect e-mail address, password or")
    page.get_by_label("Password", exact=True).fill(demo.password)
    page.get_by_label("Two-factor code").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile("/access-tokens"))
    page.goto("/account/password")
    assert barriers(page) == []
    field = page.get_by_label("New password")
    for typed, words in (
        ("brass", "3 more characters needed."),
        ("passwordpassword", "Must not be a common password"),
        ("my ada@acme.example", "Must not contain your e-mail address."),
        ("Summer2024!!!!!!!", "repeated or padded"),
        ("1234-5678-9012 love", "Long enough."),
        (NEW, "Long enough."),
    ):
        field.fill(typed)
        expect(page.locator(".strength")).to_contain_text(words)
    page.get_by_label("Current password").fill(demo.password)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Password changed")).to_be_visible()
    page.goto("/sign-in?again=1")
    sign_in(page, demo.email, NEW, codes[1])
    expect(page).to_have_url(re.compile("/access-tokens"))
    for path in ("/account", "/account/two-factor"):
        page.goto(path)
        assert barriers(page) == []
    expect(page.get_by_text("8 recovery codes left.")).to_be_visible()
