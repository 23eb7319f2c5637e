"""The fixtures that more than one directory uses, the markers, and the order of the tests."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import needs

pytest_plugins = [
    "tests.support.apps.fixtures",
    "tests.support.database.fixtures",
    "tests.support.feed.fixtures",
    "tests.support.grants.fixtures",
    "tests.support.mail.fixtures",
]
#: The directories whose files take longest. Begun first, none is left to one worker in the end.
_LONG = ("faults", "packaging", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs more than Python. Put what takes longest first; each file's tests stay
    together."""
    for item in items:
        needs.mark(item)
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        directory = item.path.relative_to(here).parts[0] if here in item.path.parents else ""
        return _LONG.index(directory) if directory in _LONG else len(_LONG)

    items.sort(key=rank)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for marker, meaning in needs.MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test start only what it is marked with."""
    with needs.declared_by(item):
        return (yield)
