"""``GET /v1/feed``: what a follower is sent, and for what it is vouched for."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from feeding import Feed, Loop
from gatepass.registry import changes
from gatepass.registry.changes import Position
from gatepass.verify.frames import Opening, Reached, Records
from installation import Installation

OpenFeed = Callable[..., Feed]


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as loop:
        yield loop


@pytest.fixture
def open_feed(loop: Loop, any_installation: Installation) -> OpenFeed:
    """Opens feeds of an installation, on each engine in turn."""
    key = any_installation.verifier_key()

    def open_(**options: Any) -> Feed:
        return Feed(loop, any_installation, options.pop("key", key), **options)

    return open_


def here(installation: Installation) -> Position:
    with installation.node.database.reading(installation.node.clock.now()) as session:
        return changes.here(session)


def registry(installation: Installation) -> dict[tuple[str, str], bytes]:
    """What a follower of everything should have."""
    with installation.node.database.reading(installation.node.clock.now()) as session:
        rows = [row for query in changes.SNAPSHOT for row in session.execute(text(query))]
    return {(table, key): bytes(record) for table, key, record, _ in rows if key[:4] != "gpvk"}


def test_a_new_follower_gets_everything_then_each_change_then_heartbeats(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    token = any_installation.access_token("charges:get")
    feed = open_feed()
    assert feed.status == 200
    assert feed.headers["content-type"] == "application/vnd.gatepass.feed"
    assert feed.headers["cache-control"] == "no-store, no-transform"
    assert feed.headers["x-accel-buffering"] == "no"
    opening = feed.next()
    assert isinstance(opening, Opening)
    assert opening.anew
    assert opening.staleness_ms == 10_000
    first = feed.reached()
    assert feed.position == here(any_installation)
    assert feed.copy == registry(any_installation)
    assert ("grants", token[:21]) in feed.copy

    other = any_installation.access_token("charges:create")
    feed.reached(here(any_installation))
    assert feed.copy == registry(any_installation)
    assert ("grants", other[:21]) in feed.copy

    beat, next_beat = feed.reached(), feed.reached()
    assert first.asked_boot_ns < beat.asked_boot_ns < next_beat.asked_boot_ns
    assert next_beat.asked_boot_ns - beat.asked_boot_ns < 1_000_000_000
    assert len(feed.openings) == 1
    feed.leave()


def test_a_follower_that_was_there_gets_what_changed_since(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    token = any_installation.access_token("charges:get")
    feed = open_feed()
    feed.reached()
    feed.leave()
    client = any_installation.signed_in()
    client.post(f"/v1/access-tokens/{token[:21]}/deactivate", json={})
    again = open_feed(position=feed.position, former=feed.copy)
    opening, records, reached = again.next(), again.next(), again.next()
    assert isinstance(opening, Opening)
    assert not opening.anew
    assert isinstance(records, Records)
    assert isinstance(reached, Reached)
    assert again.copy == registry(any_installation)
    again.leave()
    # And nothing at all, but that it was asked, where nothing changed.
    third = open_feed(position=again.position, former=again.copy)
    assert isinstance(third.next(), Opening)
    assert isinstance(third.next(), Reached)
    third.leave()
