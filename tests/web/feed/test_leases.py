"""On PostgreSQL a follower's lease never exceeds the lease of the node that serves it.

The tests drive the node's follower by hand, so that they can produce each order of events.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.networks import parse_network
from gatepass.node.node import Node, open_node
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, verifier_keys
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Database
from gatepass.settings import Settings
from gatepass.verify.replica.database_follower import Follower
from gatepass.verify.replica.frames import Opening, Reached, Records
from gatepass.web.app import create_app
from gatepass.web.feed import chunking, source
from tests.support.apps.installation import CATALOGUE
from tests.support.feed.asgi_feed import Feed, Loop, here, registry
from tests.support.waiting import LIMIT_S

#: Longer than a busy machine takes for the steps of a test, yet some tests wait until it is over.
STALENESS_S = 5
STALENESS_NS = STALENESS_S * 1_000_000_000


@dataclass
class Driven:
    """A node on PostgreSQL that follows on command, and a registry that others change."""

    node: Node
    database: Database
    follower: Follower
    copy: sqlite3.Connection
    feed: DatabaseFeed
    key: str
    loop: Loop
    changes: int = 0

    def __post_init__(self) -> None:
        self.app = create_app(self.node)

    def change(self) -> None:
        """Commit a change elsewhere."""
        self.changes += 1
        with self.database.write(_now()) as change:
            companies.create(
                change,
                Actor.command_line(),
                catalogue=self.node.catalogue,
                name=f"Company {self.changes}",
            )

    def round(self) -> int:
        """Let the node follow once; the time from which its lease counts."""
        self.follower.sync(self.copy, self.feed)
        return self.stamp

    @property
    def stamp(self) -> int:
        return self.node.file.shared.lease_until_boot_ns() - STALENESS_NS

    def open(self, **options: object) -> Feed:
        return Feed(self.loop, self.app, self.key, **options)  # type: ignore[arg-type]  # passed on


@pytest.fixture
def driven(postgresql_url: str, tmp_path: Path, loop: Loop) -> Iterator[Driven]:
    database = Database(postgresql_url)
    with database.write(_now()) as change:
        key = verifier_keys.create(change, Actor.command_line(), label="tests")[1]
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=postgresql_url,
        trusted_proxies=(parse_network("127.0.0.0/8"),),
        max_staleness=STALENESS_S,
    )
    node = open_node(settings, parse_catalogue(CATALOGUE))
    copy = sqlite3.connect(
        node.file.path, isolation_level=None, timeout=LIMIT_S, check_same_thread=False
    )
    feed = DatabaseFeed(postgresql_url)
    follower = Follower(node.file, node.clock, STALENESS_S * 1000)
    driven = Driven(node, database, follower, copy, feed, key, loop)
    driven.change()
    driven.round()
    yield driven
    copy.close()
    feed.close()
    node.stop()
    database.close()


def _now() -> int:
    return time.time_ns() // 1_000_000


def test_heartbeats_are_the_nodes_own(driven: Driven) -> None:
    feed = driven.open()
    assert feed.reached().asked_boot_ns == driven.stamp
    stamp = driven.round()
    assert feed.reached().asked_boot_ns == stamp
    # No later lease is sent until the stream ends.
    while (frame := feed.next()) is not None:
        assert isinstance(frame, Reached)
        assert frame.asked_boot_ns == stamp
    assert not driven.node.verifier.fresh()
    refused = driven.open()
    assert refused.status == 503
    assert b'"stale"' in refused.body
    assert refused.headers["retry-after"] == "1"
    driven.round()
    again = driven.open(position=feed.position, former=feed.copy)
    assert again.reached().asked_boot_ns == driven.stamp
    assert not again.openings[0].full


def test_no_lease_for_a_position_that_the_node_has_not_reached(driven: Driven) -> None:
    stamp = driven.stamp
    driven.change()
    feed = driven.open()
    # The registry is ahead of the node; the node's earlier lease covers what follows.
    assert feed.reached().asked_boot_ns == stamp
    assert feed.position == here(driven.database)
    assert feed.copy == registry(driven.database)
    driven.node.file.shared.renew_lease(driven.node.clock.boot_ns(), _now(), STALENESS_S * 1000)
    assert driven.stamp > stamp
    # The node's lease is renewed for the node's position; the follower is at another.
    _silent(feed, 1.2)
    stamp = driven.round()
    assert feed.reached().asked_boot_ns == stamp


def test_no_lease_for_changes_that_the_stream_has_not_sent(driven: Driven) -> None:
    feed = driven.open()
    feed.reached()
    before = feed.position
    feed.pause()
    driven.change()
    there = driven.round()
    driven.change()
    driven.round()
    feed.resume()
    while feed.position != here(driven.database):
        reached = feed.reached()
        assert feed.position != before or reached.asked_boot_ns < there
    assert feed.copy == registry(driven.database)


def test_slices_get_a_lease_once_the_node_has_reached_their_position(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MOST_AT_ONCE", 2)
    feed = driven.open()
    feed.reached()
    feed.leave()
    stamp = driven.stamp
    for _ in range(8):
        driven.change()
    again = driven.open(position=feed.position, former=feed.copy)
    assert isinstance(again.next(), Opening)
    for _ in range(3):
        # Some of the changes, then keepalives.
        assert isinstance(again.next(), Records)
    assert driven.stamp == stamp
    stamp = driven.round()
    assert again.reached().asked_boot_ns == stamp
    assert again.position == here(driven.database)
    assert again.copy == registry(driven.database)
    assert len(again.openings) == 1


def test_a_lagging_registry_renews_no_lease(driven: Driven) -> None:
    feed = driven.open()
    feed.reached()
    driven.copy.execute("UPDATE followed SET revision = 1000000, tag = 'ffffffffffffffff'")
    driven.node.file.shared.set_position(1_000_000, "f" * 16)
    driven.node.file.shared.renew_lease(driven.node.clock.boot_ns(), _now(), STALENESS_S * 1000)
    assert driven.open(position=feed.position).status == 503
    assert driven.open().status == 503
    # Its changes are sent without a later lease.
    driven.change()
    last = driven.stamp
    while (frame := feed.next()) is not None:
        assert not isinstance(frame, Reached) or frame.asked_boot_ns < last
    assert feed.copy == registry(driven.database)


def test_without_a_registry_the_nodes_own_heartbeats_go_on(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = driven.open()
    feed.reached()
    stamp = driven.round()

    def away(*_: object) -> None:
        raise AssertionError("the registry was read")

    monkeypatch.setattr(revisions, "overview", away)
    assert feed.reached().asked_boot_ns == stamp


def test_an_incomplete_copy_is_no_snapshot(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "_MOST_RECORDS", 1)
    for _ in range(8):
        driven.change()
    driven.round()
    feed = driven.open(pause_after=1)
    feed.next()
    driven.copy.execute("DELETE FROM followed")
    feed.resume()
    while (frame := feed.next()) is not None:
        assert not isinstance(frame, Reached)
    assert driven.open().status == 503


def test_a_stale_node_passes_no_lease_on(driven: Driven) -> None:
    async def passed_on() -> int | None:
        step = await source.Source(driven.node).since(here(driven.database))
        return None if step is None else step.asked_ns

    assert asyncio.run(passed_on()) == driven.stamp
    driven.node.file.shared.end_lease()
    assert asyncio.run(passed_on()) is None


def test_a_diverged_history_ends_the_stream_and_the_next_is_a_snapshot(driven: Driven) -> None:
    feed = driven.open()
    feed.reached()
    with driven.database.auxiliary_write(0) as write:
        # The promoted replica lacked the last change, and continued without it.
        number = here(driven.database)[0]
        new = {"number": number, "tag": "e" * 16}
        write.session.execute(text("DELETE FROM revisions WHERE number = :number"), new)
        write.session.execute(text("INSERT INTO revisions VALUES (:number, :tag, 0)"), new)
        write.session.execute(text("UPDATE revision SET tag = :tag"), new)
    stamp = driven.stamp
    driven.round()
    while (frame := feed.next()) is not None:
        assert isinstance(frame, Reached)
        assert frame.asked_boot_ns <= stamp
    again = driven.open(position=feed.position, former=feed.copy)
    again.reached()
    assert again.openings[0].full
    assert again.copy == registry(driven.database)


def _silent(feed: Feed, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        feed.next(seconds)
