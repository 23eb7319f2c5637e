"""Fixtures: grant files, and two clocks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grants.grant_file_fixture import GrantFileFixture, new_grant_file
from tests.support.grants.grant_fixtures import Clocks, GrantFixtures


@pytest.fixture
def fixtures(tmp_path: Path) -> Iterator[GrantFixtures]:
    """A grant file with tokens of every kind."""
    fixtures = GrantFixtures(tmp_path / "gatepass.db")
    yield fixtures
    fixtures.close()


@pytest.fixture
def clocks() -> Clocks:
    """Clocks that only the test moves."""
    return Clocks()


@pytest.fixture
def grant_file(tmp_path: Path) -> GrantFileFixture:
    """A grant file without tokens."""
    return new_grant_file(tmp_path / "gatepass.db")
