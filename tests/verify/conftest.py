"""A grant file and two clocks for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.verify.verifier import Verifier
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
def verifier(world: World, clocks: Clocks) -> Verifier:
    """A verifier as another process than the writer would have it."""
    return world.verifier(clocks.clock())
