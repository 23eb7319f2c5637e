"""Fixtures: grant files, and two clocks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.grants.grant_file_fixture import Grants, new_grant_file
from tests.support.grants.grant_fixtures import Clocks, Samples


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    """A grant file with tokens of every kind."""
    samples = Samples(tmp_path / "gatepass.db")
    yield samples
    samples.close()


@pytest.fixture
def clocks() -> Clocks:
    """Clocks that only the test moves."""
    return Clocks()


@pytest.fixture
def grants(tmp_path: Path) -> Grants:
    """A grant file without tokens."""
    return new_grant_file(tmp_path / "gatepass.db")
