"""A follower applies a snapshot, then changes, atomically."""

import pytest

from gatepass.core.decision import Reason
from gatepass.core.grants import CompanyRules, Holder
from gatepass.verify.replica.grant_copy import position
from tests.support.feed.scripted_primary import Outage, ScriptedPrimary, SyncedCopy
from tests.support.grants.grant_fixtures import Clocks, Samples


def test_an_empty_copy_is_filled_and_gets_a_lease(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """It decides nothing before the first sync, and everything after it."""
    assert copy.reason(samples.texts["good"]) == "stale"
    copy.sync(primary)
    assert primary.asked == ["heartbeat", "snapshot", "half of the snapshot"]
    assert copy.rows() == primary.rows
    assert position(copy.connection) == primary.position
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    assert copy.reason(samples.texts["gone"]) is Reason.account_deactivated


def test_what_changed_is_followed(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """It requests only changes, which take effect at once, whatever was cached."""
    copy.sync(primary)
    primary.asked.clear()
    for deactivated in (True, False, True):
        assert copy.reason(samples.texts["good"]) is not None
        primary.commit(samples.changed("good", deactivated=deactivated))
        copy.sync(primary)
        expected = Reason.token_deactivated if deactivated else Reason.allowed
        assert copy.reason(samples.texts["good"]) is expected
        assert copy.file.shared.revision == primary.position[0]
    assert "snapshot" not in primary.asked
    assert copy.rows() == primary.rows


def test_revisions_are_applied_atomically(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """Readers see nothing of a half-written change, then all of it."""
    copy.sync(primary)
    before = copy.rows()
    primary.commit(
        samples.changed("good", deactivated=True),
        Holder("usr_dev", "cmp_1", False, "developer"),
        CompanyRules("cmp_1", False, None, {}),
        samples.changed("login", deactivated=True),
    )
    seen = []

    def look(step: str) -> None:
        if step.startswith("half"):
            seen.append((copy.rows(), copy.reason(samples.texts["good"])))

    primary.during = look
    copy.sync(primary)
    assert seen == [(before, Reason.allowed)]
    assert copy.rows() == primary.rows
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated


def test_nothing_new_writes_nothing(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """A sync without changes renews the lease and keeps the generation: caches stay warm."""
    copy.sync(primary)
    generation = copy.file.shared.generation
    copy.clocks.advance(9)
    copy.sync(primary)
    copy.clocks.advance(9)
    assert copy.file.shared.generation == generation
    assert copy.reason(samples.texts["good"]) is Reason.allowed


def test_a_copy_continues_from_its_position(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy, clocks: Clocks
) -> None:
    """A restart needs no rebuild: the copy has its revision and tag."""
    copy.sync(primary)
    copy.connection.close()
    primary.commit(samples.changed("good", deactivated=True))
    primary.asked.clear()
    later = SyncedCopy(copy.file.path, clocks)
    later.sync(primary)
    later.connection.close()
    assert "snapshot" not in primary.asked
    assert later.reason(samples.texts["good"]) is Reason.token_deactivated


def test_a_first_snapshot_that_breaks_off_never_gets_a_lease(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy
) -> None:
    """A part of the rows decides nothing."""
    primary.faults.add("half of the snapshot")
    with pytest.raises(Outage):
        copy.sync(primary)
    assert copy.rows() == {}
    assert position(copy.connection) is None
    assert copy.reason(samples.texts["good"]) == "stale"


@pytest.mark.parametrize("fault", ["heartbeat", "changes", "half of the changes"])
def test_changes_that_break_off_leave_the_copy_as_it_was(
    samples: Samples, primary: ScriptedPrimary, copy: SyncedCopy, fault: str
) -> None:
    """It stays at its previous revision, and its lease runs out."""
    copy.sync(primary)
    before, stood = copy.rows(), position(copy.connection)
    primary.commit(
        samples.changed("good", deactivated=True),
        samples.changed("login", deactivated=True),
        Holder("usr_admin", "cmp_1", False, "admin"),
    )
    primary.faults.add(fault)
    for _ in range(9):
        copy.clocks.advance(1)
        with pytest.raises(Outage):
            copy.sync(primary)
        assert (copy.rows(), position(copy.connection)) == (before, stood)
        assert copy.reason(samples.texts["good"]) is Reason.allowed
        assert not copy.connection.in_transaction
    copy.clocks.advance(1)
    assert copy.reason(samples.texts["good"]) == "stale"
    primary.faults.clear()
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated
