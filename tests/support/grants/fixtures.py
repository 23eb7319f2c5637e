"""A grant file with tokens, and two clocks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grants.grant_file_fixture import Issued, new_grant_file
from tests.support.grants.grant_fixtures import Clocks, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A grant file with a cast of tokens."""
    world = World(tmp_path / "gatepass.db")
    yield world
    world.close()


@pytest.fixture
def clocks() -> Clocks:
    """The machine's clocks."""
    return Clocks()


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    """A grant file without tokens."""
    return new_grant_file(tmp_path / "gatepass.db")
