"""Followers that lack many changes catch up in portions, many at a time."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs
from sqlalchemy import text

from gatepass.registry.grants import publishing
from gatepass.registry.storage import revisions
from gatepass.registry.storage.revisions import Position
from gatepass.verify.replica.frames import Opening, Reached, Records, unpack
from gatepass.web.feed import slices, source
from tests.support.apps.installation import Installation
from tests.support.feed.asgi_feed import Feed, OpenFeed, here, registry
from tests.support.waiting import LIMIT_S

MANY = 700
#: Positions, and a follower's copy at each.
Behind = list[tuple[Position, dict[tuple[str, str], bytes]]]


def many(installation: Installation, former: str) -> list[str]:
    """Publish many grants at one revision; their ids."""
    ids = [f"gpat_{number:016}" for number in range(MANY)]
    with installation.write() as change:
        grant = publishing.published_grant(change, former)
        assert grant is not None
        for id in ids:
            publishing.publish(change, structs.replace(grant, id=id))
    return ids


@pytest.fixture
def behind(any_installation: Installation) -> Behind:
    """Positions that many changes follow."""
    found: Behind = []
    for _ in range(6):
        token = any_installation.access_token("charges:get")
        database = any_installation.node.database
        found.append((here(database), registry(database)))
    many(any_installation, token[:21])
    return found


def test_memory_for_changes_does_not_grow_with_the_number_of_followers(
    open_feed: OpenFeed,
    any_installation: Installation,
    behind: Behind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[int] = []
    former = revisions.changes

    def counted(*arguments: Any) -> Any:
        found = former(*arguments)
        held.append(len(found))
        return found

    monkeypatch.setattr(revisions, "changes", counted)
    feeds = [
        open_feed(node=f"node_{number:016}", position=position, former=copy)
        for number, (position, copy) in enumerate(behind)
    ]
    for feed in feeds:
        feed.reached()
        assert feed.position == here(any_installation.node.database)
        assert feed.copy == registry(any_installation.node.database)
        assert [opening.full for opening in feed.openings] == [False]
    assert max(held, default=0) <= 250


def test_a_limited_follower_catches_up_within_its_limits(
    open_feed: OpenFeed,
    any_installation: Installation,
    behind: Behind,
) -> None:
    position, copy = behind[0]
    feed = open_feed(position=position, former=copy, permissions=("charges:create",))
    feed.reached()
    assert not [key for _, key in feed.copy if key.startswith("gpat_0000")]


def test_a_bulk_change_reaches_the_connected_followers(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    token = any_installation.access_token("charges:get")
    feeds = [open_feed(node=f"node_{number:016}") for number in range(3)]
    for feed in feeds:
        feed.reached()
    many(any_installation, token[:21])
    for feed in feeds:
        feed.reached(here(any_installation.node.database))
        assert feed.copy == registry(any_installation.node.database)
        assert len(feed.openings) == 1


def test_a_waiting_long_read_sends_keepalives_and_delays_no_short_one(
    open_feed: OpenFeed,
    any_installation: Installation,
    behind: Behind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on = threading.Event()
    former = slices.Slices._read

    def slow(*arguments: Any) -> Any:
        go_on.wait(LIMIT_S)
        return former(*arguments)

    monkeypatch.setattr(slices.Slices, "_read", slow)
    try:
        feeds = [
            open_feed(node=f"node_{number:016}", position=position, former=copy)
            for number, (position, copy) in enumerate(behind)
        ]
        for feed in feeds:
            assert isinstance(feed.next(), Opening)
            sign = feed.next()
            assert isinstance(sign, Records)
            assert not unpack(sign)
        current = open_feed(position=here(any_installation.node.database))
        current.reached()
        current.reached()
    finally:
        go_on.set()
    for feed in feeds:
        feed.reached()
        assert feed.copy == registry(any_installation.node.database)


class Paused:
    """A follower that has received part of what it lacks; the server reads on after ``go_on``."""

    def __init__(self, feed: Feed, go_on: threading.Event) -> None:
        self.feed = feed
        self.go_on = go_on.set


@pytest.fixture
def paused(
    open_feed: OpenFeed,
    behind: Behind,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Paused]:
    go_on, former, reads = threading.Event(), slices.Slices._read, itertools.count()

    def some(*arguments: Any) -> Any:
        if next(reads) >= 3:
            go_on.wait(LIMIT_S)
        return former(*arguments)

    monkeypatch.setattr(slices, "_MOST_ROWS", 50)
    monkeypatch.setattr(slices.Slices, "_read", some)
    position, copy = behind[0]
    feed = open_feed(position=position, former=copy)
    assert isinstance(feed.next(), Opening)
    for _ in range(3):
        assert isinstance(feed.next(), Records)
    yield Paused(feed, go_on)
    go_on.set()


def test_changes_during_a_catch_up_follow_it(
    paused: Paused, any_installation: Installation
) -> None:
    # Some of these were read before the pause, some were not.
    for ends in ("gpat_0000000000000000", f"gpat_{MANY - 1:016}"):
        with any_installation.write() as change:
            grant = publishing.published_grant(change, ends)
            assert grant is not None
            publishing.publish(change, structs.replace(grant, deactivated=True))
    with any_installation.write() as change:
        publishing.withdraw_grants(change, ["gpat_0000000000000001"])
    paused.go_on()
    paused.feed.reached()
    assert paused.feed.position == here(any_installation.node.database)
    assert paused.feed.copy == registry(any_installation.node.database)
    assert ("grants", "gpat_0000000000000001") not in paused.feed.copy


@pytest.mark.parametrize("why", ["garbage-collected", "another history", "its key"])
def test_a_follower_that_can_no_longer_catch_up_gets_no_lease(
    paused: Paused, any_installation: Installation, why: str
) -> None:
    database = any_installation.node.database
    if why == "its key":
        key = any_installation.signed_in().get("/v1/verifier-keys").json()["items"][0]["id"]
        answer = any_installation.signed_in().post(f"/v1/verifier-keys/{key}/deactivate", json={})
        assert answer.status_code == 200
    else:
        with database.auxiliary_write(0) as write:
            if why == "garbage-collected":
                write.session.execute(text("DELETE FROM changed_records"))
                write.session.execute(text("DELETE FROM revisions"))
            else:
                write.session.execute(text("UPDATE revision SET tag = 'aaaaaaaaaaaaaaaa'"))
                write.session.execute(
                    text(
                        "UPDATE revisions SET tag = 'aaaaaaaaaaaaaaaa' "
                        "WHERE number = (SELECT number FROM revision)"
                    )
                )
    paused.go_on()
    while (frame := paused.feed.next()) is not None:
        assert not isinstance(frame, Reached)


def test_the_earliest_reachable_position_is_counted_in_changes(
    any_installation: Installation,
) -> None:
    database = any_installation.node.database
    first = here(database)
    any_installation.access_token("charges:get")
    with database.read(any_installation.node.clock.now()) as reading:
        found = revisions.changes_since(reading, first)
        assert found is not None
        number = reading.session.execute(
            text("SELECT count(*) FROM changed_records WHERE revision > :after"),
            {"after": first[0]},
        ).scalar_one()
        assert revisions.earliest_within(reading, number) <= first[0]
        assert revisions.earliest_within(reading, number - 1) > first[0]
        unknown = (first[0], "0" * 16)
        for most in (number - 1, number, 10**6):
            seen = revisions.overview(reading, [first, found[0], unknown], most)
            assert seen.latest == found[0]
            assert seen.known == {first, found[0]}
            assert seen.reach == revisions.earliest_within(reading, most)
    assert source.MOST_AT_ONCE < source.MOST_CHANGES
