"""A lease is renewed only while the copy is current and the node's clock is right."""

import secrets

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Unavailable
from gatepass.verify.replica.grant_copy import Position
from tests.support.feed.scripted_primary import Outage, ScriptedPrimary, SyncedCopy
from tests.support.grants.grant_fixtures import Clocks, Samples


def test_a_primary_that_cant_commit_renews_no_lease(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """An isolated or demoted primary fails the heartbeat. The follower requests no changes."""
    copy.sync(primary)
    primary.asked.clear()
    primary.faults.add("heartbeat")
    with pytest.raises(Outage):
        copy.sync(primary)
    assert primary.asked == ["heartbeat"]
    copy.clocks.advance(10)
    assert copy.reason(samples.texts["good"]) == "stale"


@pytest.mark.parametrize("step", ["heartbeat", "changes", "half of the changes"])
def test_time_lost_on_the_way_shortens_the_lease(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy, step: str
) -> None:
    """The lease runs from before the request was sent, not from the answer."""
    copy.sync(primary)
    primary.commit(samples.changed("login", deactivated=True), samples.grants["good"])
    primary.during = lambda now: copy.clocks.advance(6) if now == step else None
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.clocks.advance(3.999)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.clocks.advance(0.001)
    assert copy.reason(samples.texts["good"]) == "stale"


def test_an_answer_that_took_too_long_renews_no_lease(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """The follower was suspended after it sent the request."""
    primary.during = lambda step: copy.clocks.advance(11) if step == "heartbeat" else None
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) == "stale"


def test_a_follower_that_lost_its_lock_takes_nothing_back(
    samples: Samples,
    primary: ScriptedPrimary,
    copy: SyncedCopy,
    clocks: Clocks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Suspended between the answer and the write while another process advanced the copy: the
    answer is too old to be written or to renew the lease."""
    copy.sync(primary)
    primary.commit(samples.changed("login", deactivated=True))
    other = SyncedCopy(copy.file.path, clocks)
    answered = primary.changes

    def dozing(after: Position) -> object:
        answer = answered(after)
        monkeypatch.undo()
        primary.commit(samples.changed("good", deactivated=True))
        other.sync(primary)
        other.file.shared.end_lease()
        return answer

    monkeypatch.setattr(primary, "changes", dozing)
    with pytest.raises(Unavailable):
        copy.sync(primary)
    assert copy.rows() == primary.rows
    assert copy.file.shared.revision == primary.position[0]
    assert copy.reason(samples.texts["good"]) == "stale"
    other.connection.close()


HOURS_MS = 4 * 3_600_000


@pytest.mark.parametrize("apart_ms", [HOURS_MS, 5_001, -5_001, -HOURS_MS])
def test_a_node_whose_clock_is_wrong_gets_no_lease(
    samples: Samples,
    primary: ScriptedPrimary,
    copy: SyncedCopy,
    apart_ms: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A node that is behind would allow expired tokens, one that is ahead refuse valid ones. It is
    "stale" at once, for as long as the clocks differ."""
    copy.sync(primary)
    primary.now_ms = lambda: copy.clocks.wall_ms + apart_ms
    primary.commit(samples.changed("login", deactivated=True))
    for _ in range(3):
        copy.sync(primary)
        assert copy.reason(samples.texts["good"]) == "stale"
    assert copy.rows() == primary.rows
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    primary.now_ms = lambda: copy.clocks.wall_ms
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.allowed


@pytest.mark.parametrize("apart_ms", [5_000, -5_000])
def test_a_difference_of_five_seconds_is_tolerated(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy, apart_ms: int
) -> None:
    primary.now_ms = lambda: copy.clocks.wall_ms + apart_ms
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.allowed


def test_a_wall_clock_that_jumped_ahead_is_noticed_before_it_is_followed(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """Another process of the node may follow it first."""
    copy.sync(primary)
    right = copy.clocks.wall_ms
    primary.now_ms = lambda: right
    copy.clocks.wall_ms += 6_000
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) == "stale"


def test_an_answer_that_took_too_long_proves_nothing_about_clocks(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """It neither renews the lease nor ends it."""
    copy.sync(primary)
    copy.clocks.advance(1)
    primary.during = lambda step: copy.clocks.advance(6) if step == "heartbeat" else None
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.clocks.advance(3)
    assert copy.reason(samples.texts["good"]) == "stale"


@pytest.mark.parametrize("fresh", [False, True], ids=["open before", "opened now"])
def test_a_copy_behind_the_position_of_its_lease_decides_nothing(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy, fresh: bool
) -> None:
    """If SQLite's side files were removed, a process may read another state of the copy than the
    follower writes. The lease doesn't cover that state."""
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    # What the follower wrote, and this reader doesn't see.
    copy.file.shared.set_position(primary.position[0] + 1, secrets.token_hex(8))
    if fresh:
        copy.reopen()
    else:
        copy.verifier.file.watch()
        copy.clocks.advance(1.1)
    assert copy.reason(samples.texts["good"]) == "unavailable"


def test_another_tag_is_another_position(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    copy.sync(primary)
    copy.file.shared.set_position(primary.position[0], secrets.token_hex(8))
    copy.verifier.file.watch()
    assert copy.reason(samples.texts["good"]) == "unavailable"
