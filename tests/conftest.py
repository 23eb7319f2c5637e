"""Shared fixtures, the markers, and the order of the tests."""

import functools
import gc
import os
import ssl
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from httpx._transports import default as transports

from tests.support import needs
from tests.support.waiting import LIMIT_S

pytest_plugins = [
    "tests.support.apps.fixtures",
    "tests.support.database.fixtures",
    "tests.support.feed.fixtures",
    "tests.support.grants.fixtures",
    "tests.support.mail.fixtures",
    "tests.support.webhooks.fixtures",
]
#: The slowest directories. They start first, so that no worker is left with one at the end.
_LONG = ("faults", "packaging", "e2e")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exempt all that was collected from garbage collection: it stays to the end, and is large."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need more than Python, and start the slowest files first."""
    for item in items:
        needs.mark(item)
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        directory = item.path.relative_to(here).parts[0] if here in item.path.parents else ""
        return _LONG.index(directory) if directory in _LONG else len(_LONG)

    items.sort(key=rank)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and give servers on a busy machine more than httpx's 5 s, and examples
    more than Hypothesis' 0.2 s."""
    hypothesis.settings.register_profile("gatepass", deadline=None)
    hypothesis.settings.load_profile("gatepass")
    # One object that all of httpx's functions have as their default.
    waits = httpx.get.__kwdefaults__["timeout"]
    waits.connect = waits.read = waits.write = waits.pool = LIMIT_S
    for marker, meaning in needs.MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")


@pytest.fixture(autouse=True, scope="session")
def shared_authorities() -> Iterator[None]:
    """httpx reads the certificates of all authorities once, rather than for each client."""
    create = transports.create_ssl_context
    shared = functools.cache(create)

    def reused(verify: Any = True, **more: Any) -> ssl.SSLContext:
        usual = verify is True and more.get("cert") is None and "SSL_CERT_FILE" not in os.environ
        return shared() if usual else create(verify=verify, **more)

    with pytest.MonkeyPatch.context() as patch:
        for module in (httpx, transports):
            patch.setattr(module, "create_ssl_context", reused)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that starts a program it isn't marked with."""
    with needs.declared_by(item):
        return (yield)
