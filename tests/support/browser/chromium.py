"""The system's Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, expect, sync_playwright

from tests.support.needs import require

#: A name of this machine that the browser doesn't know as loopback.
ANOTHER_NAME = "gate.internal"
# A guard against a hang, like the 30 s of Playwright's other waits. The default of 5 s is too short
# on a busy machine.
_EXPECT_MS = 30_000
# Only the demo may be called. Root in a container has no sandbox.
_FLAGS = [
    f"--host-resolver-rules=MAP {ANOTHER_NAME} 127.0.0.1",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium with its own profile."""
    require("browser")
    # The first one draws no windows: half the work.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)))
    expect.set_options(timeout=_EXPECT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()
