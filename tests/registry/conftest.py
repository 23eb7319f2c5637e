"""A small registry on SQLite alone, and its administrator."""

from collections.abc import Iterator

import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Database
from tests.support.database.small_registry import SmallRegistry


@pytest.fixture
def sqlite_registry(sqlite_url: str) -> Iterator[SmallRegistry]:
    """Two companies on SQLite alone, for what no engine has a part in."""
    database = Database(sqlite_url)
    yield SmallRegistry(database)
    database.close()


@pytest.fixture
def ada(registry: SmallRegistry) -> Actor:
    """The administrator of one of the companies, signed in."""
    return registry.signed_in(registry.ada)
