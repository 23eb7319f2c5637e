"""Windows of a browser, and people who sign in at them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

_SIGNED_IN = re.compile("/access-tokens")


@contextmanager
def window(browser: Browser, url: str = "", **options: Any) -> Iterator[Page]:
    """A window with cookies of its own. What the browser complains of fails the test: a violated
    policy, a failing script.

    Args:
        url: what paths are relative to.
        options: of the browser's context.
    """
    complaints: list[str] = []

    def hear(said: ConsoleMessage) -> None:
        # It also reports answers such as 404 and 422, which are meant.
        if said.type == "error" and not said.text.startswith("Failed to load resource"):
            complaints.append(said.text)

    context = browser.new_context(base_url=url or None, **options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", hear)
    yield page
    context.close()
    assert complaints == []


def sign_in(page: Page, email: str, password: str, path: str = "/sign-in") -> None:
    """Sign in at the form, which *path* shows or leads to."""
    page.goto(path)
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(_SIGNED_IN)
