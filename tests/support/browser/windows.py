"""Browser windows, and signing in."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

_SIGNED_IN = re.compile("/access-tokens")


@contextmanager
def window(browser: Browser, url: str = "", **options: Any) -> Iterator[Page]:
    """A window with its own cookies. A violated policy or a failing script fails the test.

    Args:
        url: the base of relative paths.
        options: of the browser's context.
    """
    complaints: list[str] = []

    def hear(said: ConsoleMessage) -> None:
        # Chromium also reports expected answers such as 404 and 422.
        if said.type == "error" and not said.text.startswith("Failed to load resource"):
            complaints.append(said.text)

    context = browser.new_context(base_url=url or None, **options)
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", hear)
    yield page
    context.close()
    assert complaints == []


def sign_in(page: Page, email: str, password: str, path: str = "/sign-in") -> None:
    """Sign in at the form that *path* shows or redirects to."""
    page.goto(path)
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(_SIGNED_IN)
