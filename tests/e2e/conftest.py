"""The browser that a file's tests open their windows in."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser.chromium import chromium


# For one file: while Playwright runs, its thread can't begin another event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with chromium() as launched:
        yield launched
