"""Accepting an invitation, and resetting a forgotten password, in Chromium."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.support.browser.windows import sign_in
from tests.support.processes.demo import Demo
from tests.support.waiting import until

NEW = "nell@acme.example"
PASSWORD = "seven brass kettles sing"
ANOTHER = "a wholly new phrase"


def open_mail(page: Page, subject: str, to: str) -> None:
    """Open the link of the latest mail with that subject."""
    mail = page.get_by_role("row").filter(has_text=to).get_by_role("link", name=subject).first

    def arrived() -> bool:
        page.goto("/demo/mail")
        return mail.is_visible()

    # A background task sends it.
    until(arrived)
    mail.click()
    page.get_by_role("link", name="Open the link").click()


def test_from_an_invitation_to_a_sign_in_and_a_forgotten_password(
    demo: Demo, open_window: Callable[..., Page]
) -> None:
    ada = open_window()
    sign_in(ada, demo.email, demo.password)
    ada.goto("/company/users/invite")
    ada.get_by_label("E-mail address").fill(NEW)
    # With the keyboard alone: focus the roles, and choose the last.
    ada.keyboard.press("Tab")
    ada.keyboard.press("Space")
    for _ in range(3):
        ada.keyboard.press("ArrowDown")
    expect(ada.get_by_role("radio", name="Reporting")).to_be_checked()
    ada.keyboard.press("Enter")
    row = ada.get_by_role("row").filter(has_text=NEW)
    expect(row).to_contain_text("Pending")

    # Nell's browser runs no scripts.
    nell = open_window(java_script_enabled=False)
    open_mail(nell, "Ada Lovelace invited you", NEW)
    first = nell.url
    row.get_by_role("button", name=f"Resend the invitation to {NEW}").click()
    expect(ada.get_by_role("status")).to_contain_text("The e-mail appears on")
    nell.reload()
    expect(nell.get_by_role("heading")).to_have_text("This invitation link is broken")
    while nell.url == first:
        open_mail(nell, "Ada Lovelace invited you", NEW)
    expect(nell.get_by_role("heading")).to_have_text("Join Acme Payments")
    nell.get_by_label("Your name").fill("Nell Newcomer")
    nell.get_by_label("Password").fill(PASSWORD)
    nell.get_by_role("button", name="Create account").click()
    welcome = nell.get_by_role("heading", level=1)
    expect(welcome).to_have_text("Welcome to Acme Payments, Nell Newcomer")

    forgetful = open_window()
    forgetful.goto("/sign-in")
    forgetful.get_by_role("link", name="Forgot your password?").click()
    forgetful.get_by_label("E-mail address").fill(NEW)
    forgetful.get_by_role("button", name="Send link").click()
    expect(forgetful.get_by_role("heading")).to_have_text("Check the demo's mail page")
    open_mail(forgetful, "Set a new password", NEW)
    forgetful.get_by_label("New password").fill(ANOTHER)
    forgetful.get_by_role("button", name="Set password").click()
    expect(forgetful.get_by_role("heading")).to_have_text("Your new password is set")
    sign_in(forgetful, NEW, ANOTHER)
    # The reset ended the sign-in with the old password.
    nell.goto("/access-tokens")
    expect(nell).to_have_url(re.compile("/sign-in"))
