"""Fixtures: the browser and the demo that the tests of a file share."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser.chromium import chromium
from tests.support.browser.windows import window
from tests.support.processes.demo import Demo


# One per file: while Playwright runs, its thread can't start another event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="session")
def created_demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A stopped demo, which others begin with."""
    with Demo(tmp_path_factory.mktemp("created-demo")) as created:
        pass
    # Receipts would wait for its nodes.
    with sqlite3.connect(created.directory / "gatepass.db") as database:
        database.execute("DELETE FROM nodes")
    database.close()
    return created


@pytest.fixture(scope="module")
def demo(created_demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo for the tests of one file."""
    with Demo(tmp_path_factory.mktemp("demo"), like=created_demo) as started:
        yield started


@pytest.fixture
def open_window(demo: Demo, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens separate windows at the demo; options are those of the browser's context."""
    with ExitStack() as windows:
        yield lambda **options: windows.enter_context(window(browser, demo.url, **options))
