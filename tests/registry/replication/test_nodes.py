"""Followers: registration, heartbeats, and deletion."""

import threading
from collections.abc import Callable
from contextlib import closing

import pytest
from sqlalchemy import update

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Subject
from gatepass.registry.replication import liveness, receipts
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage import revisions, tables
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.database_time import shared_now
from tests.support.database.small_registry import HOUR, NOW
from tests.support.grants.fake_verifiers import (
    STALENESS,
    acknowledge,
    by_the_sessions_time,
    register,
    registration,
    rows,
)
from tests.support.waiting import LIMIT_S


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the session's time on PostgreSQL, too."""
    by_the_sessions_time(monkeypatch)


@pytest.mark.usefixtures("by_hand")
def test_a_registration_is_stored(database: Database) -> None:
    limits = {"companies": ["com_1"]}
    register(database, NOW, "node_a", limits=limits)
    (row,) = rows(database, "nodes")
    assert (row["first_seen_at"], row["seen_at"], row["vouched_at"]) == (NOW, NOW, NOW)
    assert (row["revision"], row["limits"]) == (0, '{"companies": ["com_1"]}')
    acknowledge(database, NOW + 1, "node_a")
    register(database, NOW + 2, "node_a", version="0.2.0")
    (row,) = rows(database, "nodes")
    assert (row["first_seen_at"], row["vouched_at"]) == (NOW, NOW + 2)
    assert (row["version"], row["limits"]) == ("0.2.0", None)


@pytest.mark.usefixtures("by_hand")
def test_a_report_advances_only_within_this_history(database: Database) -> None:
    register(database, NOW, "node_a")
    for _ in range(2):
        with database.write(NOW):
            pass
    with database.read(NOW) as reading:
        number, tag = revisions.latest(reading)

    def report(position: tuple[int, str] | None, fresh_at: int) -> tuple[int, int]:
        with database.auxiliary_write(NOW + 5) as write:
            assert liveness.report(write, "node_a", position, fresh_at)
        (row,) = rows(database, "nodes")
        return row["revision"], row["vouched_at"]

    assert report((number, "0" * 16), NOW + 4) == (0, NOW + 4)
    assert report((number, tag), NOW + 3) == (number, NOW + 4)
    assert report(None, NOW + 99_999) == (number, NOW + 5), "no lease starts in the future"
    with database.auxiliary_write(NOW) as write:
        assert not liveness.report(write, "node_b", (number, tag), NOW)


@pytest.mark.usefixtures("by_hand")
def test_a_position_ahead_of_a_restored_history_is_replaced(database: Database) -> None:
    register(database, NOW, "node_a")
    with database.auxiliary_write(NOW) as write:
        write.session.execute(update(tables.nodes).values(revision=1_000))
    acknowledge(database, NOW, "node_a")
    (row,) = rows(database, "nodes")
    assert row["revision"] == 0


@pytest.mark.usefixtures("by_hand")
def test_a_follower_silent_for_a_day_is_deleted(database: Database) -> None:
    register(database, NOW, "node_a")
    register(database, NOW + 20 * HOUR, "node_b")
    for now, left in ((NOW + 24 * HOUR, ["node_a", "node_b"]), (NOW + 25 * HOUR, ["node_b"])):
        with database.auxiliary_write(now) as write:
            liveness.forget(write)
        assert sorted(row["id"] for row in rows(database, "nodes")) == left


@pytest.mark.usefixtures("by_hand")
def test_the_followers_of_a_key_are_limited(database: Database) -> None:
    """Another one is refused while all of them are live."""
    nodes_of_key = [f"node_{number:03}" for number in range(liveness.MOST_PER_KEY)]
    register(database, NOW, *nodes_of_key)
    register(database, NOW, "node_other", key_id="gpvk_1111111111111111")
    register(database, NOW, "node_itself", kind="node")
    register(database, NOW, "node_005")
    with pytest.raises(Conflict) as refused:
        register(database, NOW + 2 * STALENESS - 1, "node_one_more")
    assert refused.value.reason == "too_many_followers"
    assert len(rows(database, "nodes")) == liveness.MOST_PER_KEY + 2


@pytest.mark.usefixtures("by_hand")
def test_the_follower_silent_for_longest_makes_room(database: Database) -> None:
    """Never one that may still answer "allowed": receipts must list it."""
    register(database, NOW, *[f"node_{number:03}" for number in range(liveness.MOST_PER_KEY)])
    later = NOW + 2 * STALENESS
    for id in ("node_000", "node_001"):
        with database.auxiliary_write(later - 1) as write:
            assert liveness.report(write, id, None, later - 1)
    register(database, later, "node_late", "node_later")
    known = {row["id"] for row in rows(database, "nodes")}
    assert len(known) == liveness.MOST_PER_KEY
    assert {"node_000", "node_001", "node_late", "node_later"} <= known
    assert not {"node_002", "node_003"} & known


@pytest.mark.usefixtures("by_hand")
def test_a_follower_without_a_copy_is_in_no_receipt(database: Database) -> None:
    """The holder of a key can register followers that never receive a grant."""
    register(database, NOW, "node_follows")
    register(database, NOW, "node_asked", copies=False)
    with database.write(NOW + 1) as change:
        receipts.begin(change, [Subject("access_token", "gpat_1", "a")], company=None)
    assert [row["node_id"] for row in rows(database, "receipt_confirmations")] == ["node_follows"]
    with database.auxiliary_write(NOW + 2) as write:
        assert liveness.report(write, "node_asked", None, NOW + 2)
    with database.write(NOW + 3) as change:
        receipts.begin(change, [Subject("access_token", "gpat_2", "b")], company=None)
    assert len(rows(database, "receipt_confirmations")) == 3


on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def during_a_write(database: Database, work: Callable[[], object], *, waits: bool) -> None:
    """Run *work* in another thread during a write; whether it *waits* for the commit."""
    done = threading.Event()
    thread = threading.Thread(target=lambda: (work(), done.set()))
    with database.write(NOW) as change:
        receipts.begin(change, [Subject("access_token", "gpat_1", "One")], company="com_1")
        thread.start()
        assert done.wait(0.2 if waits else LIMIT_S) is not waits
    assert done.wait(LIMIT_S)
    thread.join()


@on_postgresql
def test_registering_waits_for_the_write_in_progress(database: Database) -> None:
    """Otherwise it could read the former grants without being listed in that write's receipt."""
    during_a_write(database, lambda: register(database, NOW, "node_a"), waits=True)
    # So does a report after an absence; other reports needn't wait.
    with database.auxiliary_write(NOW) as write:
        write.session.execute(update(tables.nodes).values(vouched_at=shared_now(write) - STALENESS))
    for waits in (True, False):
        during_a_write(database, lambda: acknowledge(database, NOW, "node_a"), waits=waits)


@on_postgresql
def test_a_nodes_heartbeat_registers_it(database: Database, database_url: str) -> None:
    feed = DatabaseFeed(database_url, registration("node_a", "node"))
    feed.heartbeat()
    (first,) = rows(database, "nodes")
    # Three readings of the primary's clock.
    assert first["first_seen_at"] <= first["vouched_at"] < first["first_seen_at"] + STALENESS
    # Soon after there is nothing to write: receipts count it for long enough.
    feed.heartbeat()
    assert rows(database, "nodes") == [first]
    with database.auxiliary_write(NOW) as write:
        write.session.execute(update(tables.nodes).values(vouched_at=first["vouched_at"] - 5_000))
    feed.heartbeat()
    (second,) = rows(database, "nodes")
    assert first["vouched_at"] <= second["vouched_at"]
    assert first["seen_at"] <= second["seen_at"]
    assert second["first_seen_at"] == first["first_seen_at"]
    # Absent for longer than its lease: it registers again.
    lapsed = second["vouched_at"] - STALENESS
    with database.auxiliary_write(NOW) as write:
        write.session.execute(update(tables.nodes).values(vouched_at=lapsed, version="old"))
    feed.heartbeat()
    (third,) = rows(database, "nodes")
    assert third["version"] == "0.1.0"
    assert third["vouched_at"] >= second["vouched_at"]
    feed.close()


@on_postgresql
def test_a_heartbeat_after_an_absence_waits_for_the_write_in_progress(
    database: Database, database_url: str
) -> None:
    with closing(DatabaseFeed(database_url, registration("node_a", "node"))) as feed:
        during_a_write(database, feed.heartbeat, waits=True)


@on_postgresql
def test_several_machines_use_the_databases_clock(database: Database) -> None:
    """A node whose clock is hours ahead must not see the others as gone."""
    register(database, NOW, "node_a")
    with database.write(NOW + 4 * HOUR) as change:
        receipts.begin(change, [Subject("access_token", "gpat_1", "One")], company="com_1")
    assert [row["node_id"] for row in rows(database, "receipt_confirmations")] == ["node_a"]
    with database.auxiliary_write(NOW + 8 * HOUR) as write:
        assert receipts.complete(write) == 0
