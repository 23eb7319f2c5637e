"""Fixture: a scripted feed that serves the samples' records."""

from collections.abc import Iterator

import pytest

from tests.support.feed.scripted_feed import ScriptedFeed
from tests.support.grants.grant_fixtures import Samples


@pytest.fixture
def feed(samples: Samples) -> Iterator[ScriptedFeed]:
    with ScriptedFeed() as feed:
        feed.commit(*samples.records)
        yield feed
