"""A small registry on each engine in turn."""

import pytest

from gatepass.registry.database import Database
from small_registry import SmallRegistry


@pytest.fixture
def registry(database: Database) -> SmallRegistry:
    """Two companies, an administrator each."""
    return SmallRegistry(database)
