"""Fixture: a scripted feed that serves the grant fixtures' records."""

from collections.abc import Iterator

import pytest

from tests.support.feed.scripted_feed import ScriptedFeed
from tests.support.grants.grant_fixtures import GrantFixtures


@pytest.fixture
def feed(fixtures: GrantFixtures) -> Iterator[ScriptedFeed]:
    with ScriptedFeed() as feed:
        feed.commit(*fixtures.records)
        yield feed
