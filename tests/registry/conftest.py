"""A small registry on SQLite alone, and its administrator."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Database
from tests.support.database.small_registry import SmallRegistry


@pytest.fixture
def sqlite_registry(created_on_sqlite: SmallRegistry, tmp_path: Path) -> Iterator[SmallRegistry]:
    """Two companies on SQLite alone, for what no engine has a part in."""
    path = tmp_path / "gatepass.db"
    shutil.copy(created_on_sqlite.database.path or "", path)
    database = Database(f"sqlite:///{path}")
    yield SmallRegistry(database, created_on_sqlite)
    database.close()


@pytest.fixture
def ada(registry: SmallRegistry) -> Actor:
    """The administrator of one of the companies, signed in."""
    return registry.signed_in(registry.ada)
