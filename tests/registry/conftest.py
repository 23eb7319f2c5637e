"""A small registry on each engine in turn."""

from collections.abc import Iterator

import pytest

from gatepass.registry.storage.database import Database
from tests.support.database.small_registry import SmallRegistry


@pytest.fixture
def registry(database: Database) -> SmallRegistry:
    """Two companies, an administrator each."""
    return SmallRegistry(database)


@pytest.fixture
def sqlite_registry(sqlite_url: str) -> Iterator[SmallRegistry]:
    """The same on SQLite alone, for what no engine has a part in."""
    database = Database(sqlite_url)
    yield SmallRegistry(database)
    database.close()
