"""A copy of another history is rebuilt, and decides nothing until then."""

import os
import signal
from pathlib import Path

import pytest

from gatepass.core.decision import Reason
from gatepass.verify.replica.grant_copy import position
from tests.support.feed.scripted_primary import Outage, ScriptedPrimary, SyncedCopy
from tests.support.grants.grant_fixtures import Clocks, Samples
from tests.support.processes.children import finished, in_child


def test_a_copy_of_another_history_is_rebuilt_in_place(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """Same revision, other tag: rows that the primary lost are deleted, its own are added, and the
    file is the same file."""
    primary.commit(samples.grants["unknown"])
    copy.sync(primary)
    assert copy.reason(samples.texts["unknown"]) is Reason.allowed
    inode = copy.file.path.stat().st_ino
    primary.lose_last_revision()
    primary.commit(samples.changed("good", deactivated=True))
    primary.asked.clear()
    copy.sync(primary)
    assert primary.asked == ["heartbeat", "changes", "snapshot", "half of the snapshot"]
    assert copy.reason(samples.texts["unknown"]) is Reason.token_invalid
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated
    assert copy.rows() == primary.rows
    assert position(copy.connection) == primary.position
    assert copy.file.path.stat().st_ino == inode


def test_a_primary_that_fell_back_is_another_history(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """A restored backup doesn't know the copy's revision at all."""
    primary.commit(samples.grants["unknown"])
    copy.sync(primary)
    primary.lose_last_revision()
    copy.sync(primary)
    assert copy.rows() == primary.rows
    assert copy.file.shared.revision == primary.position[0]


def test_the_lease_of_another_historys_copy_ends_at_once(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """Before the snapshot is requested. Nothing is decided until it is complete."""
    copy.sync(primary)
    primary.lose_last_revision()
    primary.commit(samples.grants["unknown"])
    seen = []
    primary.during = lambda step: seen.append((step, copy.reason(samples.texts["good"])))
    copy.sync(primary)
    assert seen == [
        ("heartbeat", "allowed"),
        ("changes", "allowed"),
        ("snapshot", "stale"),
        ("half of the snapshot", "stale"),
    ]
    assert copy.reason(samples.texts["good"]) is Reason.allowed


@pytest.mark.parametrize("fault", ["snapshot", "half of the snapshot"])
def test_a_half_loaded_snapshot_never_gets_a_lease(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy, fault: str
) -> None:
    """It is rolled back. Nothing is decided until a snapshot is complete."""
    primary.commit(samples.grants["unknown"])
    copy.sync(primary)
    before = copy.rows()
    primary.lose_last_revision()
    primary.commit(samples.changed("good", deactivated=True))
    primary.faults.add(fault)
    for _ in range(3):
        with pytest.raises(Outage):
            copy.sync(primary)
        assert copy.reason(samples.texts["good"]) == "stale"
        assert copy.rows() == before
        assert not copy.connection.in_transaction
    primary.faults.clear()
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated
    assert copy.rows() == primary.rows


def test_a_follower_killed_half_way_leaves_a_consistent_copy(
    samples: Samples, primary: ScriptedPrimary, tmp_path: Path, clocks: Clocks
) -> None:
    """kill -9 during a rebuild leaves the previous rows, without a lease. The next follower
    continues at once."""
    path = tmp_path / "grants.db"
    copy = SyncedCopy(path, clocks)
    copy.sync(primary)
    before = copy.rows()
    copy.connection.close()
    primary.lose_last_revision()
    primary.commit(samples.changed("good", deactivated=True))

    def rebuild_and_die() -> None:
        primary.during = lambda step: (
            os.kill(os.getpid(), signal.SIGKILL) if step.startswith("half") else None
        )
        SyncedCopy(path, clocks).sync(primary)

    assert not finished(in_child(rebuild_and_die))
    later = SyncedCopy(path, clocks)
    assert later.rows() == before
    assert later.reason(samples.texts["good"]) == "stale"
    later.sync(primary)
    assert later.rows() == primary.rows
    assert later.reason(samples.texts["good"]) is Reason.token_deactivated
    later.connection.close()
