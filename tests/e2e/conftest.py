"""The browser and the demo that a file's tests share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser.chromium import chromium
from tests.support.browser.windows import window
from tests.support.processes.demo import Demo


# For one file: while Playwright runs, its thread can't begin another event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo of a file's own."""
    with Demo(tmp_path_factory.mktemp("demo")) as served:
        yield served


@pytest.fixture
def open_window(demo: Demo, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens windows at the demo, of people who share nothing; options are the context's."""
    with ExitStack() as windows:
        yield lambda **options: windows.enter_context(window(browser, demo.url, **options))
