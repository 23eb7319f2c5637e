"""A scripted feed that serves the grant file's records."""

from collections.abc import Iterator

import pytest

from tests.support.feed.scripted_feed import ScriptedFeed
from tests.support.grants.grant_fixtures import World


@pytest.fixture
def feed(world: World) -> Iterator[ScriptedFeed]:
    with ScriptedFeed() as feed:
        feed.commit(*world.records)
        yield feed
