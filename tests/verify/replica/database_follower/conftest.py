"""Fixtures: a scripted primary, and a copy of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.feed.scripted_primary import ScriptedPrimary, SyncedCopy
from tests.support.grants.grant_fixtures import Clocks, Samples


@pytest.fixture
def primary(samples: Samples, clocks: Clocks) -> ScriptedPrimary:
    """A primary with the samples, each record at its own revision."""
    primary = ScriptedPrimary(lambda: clocks.wall_ms)
    for record in samples.records:
        primary.commit(record)
    return primary


@pytest.fixture
def copy(tmp_path: Path, clocks: Clocks) -> Iterator[SyncedCopy]:
    copy = SyncedCopy(tmp_path / "grants.db", clocks)
    yield copy
    copy.connection.close()
