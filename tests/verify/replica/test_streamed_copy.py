"""A stream's frames advance a copy, and renew its lease for no longer than is true."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass.core.decision import Reason
from gatepass.core.errors import Unavailable
from gatepass.core.grants import CompanyRules, Grant, Holder, encode
from gatepass.verify.replica import frames, streamed_copy
from gatepass.verify.replica.frames import BrokenFeed, Opening, Reached, Records
from gatepass.verify.replica.grant_copy import Position, open_copy
from gatepass.verify.replica.streamed_copy import CopyRemoved, StreamedCopy
from tests.support.feed.followed_copy import CopyReader
from tests.support.grants.grant_fixtures import Clocks, Samples

STALENESS_MS = 10_000
#: The server's boot clock is ahead of ours by this.
SERVER_NS = 77_000_000_000_000
ONE, TWO, THREE = ((number, f"{number:016x}") for number in (1, 2, 3))


def records(*changed: Grant | Holder | CompanyRules, removed: tuple[str, ...] = ()) -> Records:
    tables = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}
    return frames.pack(
        [(tables[type(each)], each.id, encode(each), 1) for each in changed]
        + [("grants", each, None, 1) for each in removed]
    )


class Copy(CopyReader):
    """A service's copy, and a verifier in another of its processes."""

    def __init__(self, path: Path, clocks: Clocks, scope: str = "") -> None:
        super().__init__(path, clocks)
        self.connection.close()
        self.sqlite_lock = threading.Lock()
        self.copy = StreamedCopy(self.file, clocks.clock(), scope, self.sqlite_lock)
        self.apply = self.copy.apply

    def opening(self, *, full: bool, **other: Any) -> Opening:
        facts: dict[str, Any] = {
            "protocol": 1,
            "boot_ns": self.clocks.boot_ns + SERVER_NS,
            "staleness_ms": STALENESS_MS,
            "wall_ms": self.clocks.wall_ms,
        } | other
        return Opening(full=full, node="node_x", version="1", **facts)

    def reached(self, there: Position, asked_ago_s: float = 0) -> Reached:
        ago = round(asked_ago_s * 1_000_000_000)
        return Reached(*there, self.clocks.boot_ns + SERVER_NS - ago)

    def begin(self, *, full: bool) -> Position | None:
        here = self.copy.begin()
        assert self.apply(self.opening(full=full)) is None
        return here

    def build(self, samples: Samples, there: Position = ONE) -> None:
        assert self.begin(full=True) is None
        assert self.apply(records(*samples.records)) is None
        assert self.apply(self.reached(there)) == there


@pytest.fixture
def copy(tmp_path: Path, clocks: Clocks) -> Iterator[Copy]:
    copy = Copy(tmp_path / "followed.db", clocks)
    yield copy
    copy.copy.close()


def test_an_empty_copy_is_filled_and_gets_a_lease(samples: Samples, copy: Copy) -> None:
    assert copy.reason(samples.texts["good"]) == "stale"
    copy.build(samples)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    assert copy.file.shared.position == ONE
    assert copy.copy.begin() == ONE


def test_the_public_url_comes_with_the_opening(samples: Samples, copy: Copy) -> None:
    """It stays known while a node of a former release, which sends none, is followed."""
    copy.build(samples)
    assert copy.file.shared.public_url is None
    for sent, known in (("https://a.example", "https://a.example"), ("", "https://a.example")):
        copy.copy.begin()
        copy.apply(copy.opening(full=False, public_url=sent))
        assert copy.file.shared.public_url == known
    decision = copy.verifier.check(samples.texts["good"], permission="refunds:create")
    help = copy.verifier.help(decision) or ""
    assert help.startswith("https://a.example/decisions/dec_")


def test_what_changes_and_what_goes_is_followed(samples: Samples, copy: Copy) -> None:
    copy.build(samples)
    copy.apply(records(samples.changed("good", deactivated=True)))
    copy.apply(records(removed=(samples.grants["login"].id,)))
    assert copy.apply(copy.reached(TWO)) == TWO
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated
    assert copy.reason(samples.texts["login"]) is Reason.token_invalid


def test_a_record_that_is_sent_twice_is_as_it_was_sent_last(samples: Samples, copy: Copy) -> None:
    """A snapshot is read page by page; concurrent changes and deletions follow it."""
    copy.begin(full=True)
    copy.apply(records(*samples.records, samples.changed("good", deactivated=True)))
    copy.apply(records(samples.grants["login"], removed=(samples.grants["login"].id,)))
    copy.apply(copy.reached(ONE))
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated
    assert copy.reason(samples.texts["login"]) is Reason.token_invalid


def test_frames_up_to_a_position_are_applied_as_one(samples: Samples, copy: Copy) -> None:
    """Readers see nothing of it before the last frame."""
    copy.build(samples)
    before = copy.rows()
    copy.apply(records(samples.changed("good", deactivated=True)))
    copy.apply(records(Holder("usr_dev", "cmp_1", False, "developer")))
    assert copy.rows() == before
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.apply(copy.reached(TWO))
    assert copy.rows() != before
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated


def test_a_heartbeat_renews_the_lease_and_writes_nothing(samples: Samples, copy: Copy) -> None:
    copy.build(samples)
    generation = copy.file.shared.generation
    for _ in range(3):
        copy.clocks.advance(9)
        assert copy.apply(copy.reached(ONE)) == ONE
    copy.clocks.advance(9)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    assert copy.file.shared.generation == generation


def test_a_copy_of_another_history_is_stale_at_once_and_rebuilt(
    samples: Samples, copy: Copy
) -> None:
    copy.build(samples)
    assert copy.begin(full=True) == ONE
    assert copy.reason(samples.texts["good"]) == "stale"
    copy.apply(records(*[each for each in samples.records if each is not samples.grants["login"]]))
    assert copy.reason(samples.texts["good"]) == "stale"
    copy.apply(copy.reached(TWO))
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    assert copy.reason(samples.texts["login"]) is Reason.token_invalid


def test_a_history_without_any_grants_leaves_none(samples: Samples, copy: Copy) -> None:
    copy.build(samples)
    copy.begin(full=True)
    copy.apply(copy.reached(ONE))
    assert copy.rows() == {}
    assert copy.reason(samples.texts["good"]) is Reason.token_invalid


@pytest.mark.parametrize("how", ["begin", "close"])
def test_a_snapshot_that_breaks_off_leaves_the_old_copy_stale(
    samples: Samples, copy: Copy, how: str
) -> None:
    copy.build(samples)
    before = copy.rows()
    copy.begin(full=True)
    copy.apply(records(*samples.records[:5]))
    getattr(copy.copy, how)()
    assert copy.rows() == before
    assert copy.reason(samples.texts["good"]) == "stale"
    assert copy.copy.begin() == ONE


def test_changes_that_break_off_leave_the_copy_as_it_was(samples: Samples, copy: Copy) -> None:
    """At its position, until its lease runs out."""
    copy.build(samples)
    copy.apply(records(samples.changed("good", deactivated=True)))
    assert copy.copy.begin() == ONE
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.clocks.advance(10)
    assert copy.reason(samples.texts["good"]) == "stale"


# --- lease ----------------------------------------------------------------------------------------


def test_a_delayed_frame_counts_as_old(samples: Samples, copy: Copy) -> None:
    """A heartbeat that arrives four seconds late renews the lease for six, not for ten."""
    copy.build(samples)
    beat = copy.reached(ONE)
    copy.clocks.advance(4)
    copy.apply(beat)
    copy.clocks.advance(5.9)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.clocks.advance(0.1)
    assert copy.reason(samples.texts["good"]) == "stale"


def test_an_old_lease_that_is_passed_on_stays_old(samples: Samples, copy: Copy) -> None:
    """A node that can't reach its database sends the time when it last could."""
    copy.build(samples)
    copy.clocks.advance(3)
    copy.apply(copy.reached(ONE, asked_ago_s=3))
    copy.clocks.advance(7)
    assert copy.reason(samples.texts["good"]) == "stale"


def test_time_lost_on_the_way_to_the_server_shortens_the_lease(
    samples: Samples, copy: Copy
) -> None:
    """The lease counts from when the request was sent, though the server received it later."""
    copy.copy.begin()
    copy.clocks.advance(4)
    copy.apply(copy.opening(full=True))
    copy.apply(records(*samples.records))
    copy.apply(copy.reached(ONE))
    copy.clocks.advance(5.9)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.clocks.advance(0.2)
    assert copy.reason(samples.texts["good"]) == "stale"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=st.floats(0, 6), asked=st.floats(0, 30), back=st.floats(0, 12), before=st.floats(0, 3))
def test_no_delay_makes_a_lease_last_longer_than_is_true(
    samples: Samples, copy: Copy, there: float, asked: float, back: float, before: float
) -> None:
    """By either clock it ends MAX_STALENESS after the primary was asked."""
    copy.copy.begin()
    copy.clocks.advance(there)
    copy.apply(copy.opening(full=True))
    copy.apply(records(*samples.records))
    copy.clocks.advance(asked)
    beat = copy.reached(ONE, asked_ago_s=before)
    copy.clocks.advance(back)
    copy.apply(beat)
    boot_ns, wall_ms = copy.clocks.boot_ns, copy.clocks.wall_ms
    left_s = STALENESS_MS / 1_000 - back - before
    copy.clocks.advance(left_s + 0.002)
    assert copy.reason(samples.texts["good"]) == "stale"
    # Each clock by itself.
    copy.clocks.boot_ns, copy.clocks.wall_ms = boot_ns, wall_ms + round(left_s * 1_000) + 2
    assert copy.reason(samples.texts["good"]) == "stale"
    copy.clocks.wall_ms = wall_ms


def test_a_server_with_another_time_renews_no_lease(samples: Samples, copy: Copy) -> None:
    copy.begin(full=True)
    copy.apply(records(*samples.records))
    copy.apply(copy.reached(ONE))
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    copy.copy.begin()
    copy.apply(copy.opening(full=False, wall_ms=copy.clocks.wall_ms + 6_000))
    copy.apply(copy.reached(ONE))
    assert copy.reason(samples.texts["good"]) == "stale"


# --- invalid frames -------------------------------------------------------------------------------


def test_a_stream_begins_with_one_opening(samples: Samples, copy: Copy) -> None:
    copy.copy.begin()
    for frame in (records(), copy.reached(ONE)):
        with pytest.raises(BrokenFeed):
            copy.apply(frame)
    copy.apply(copy.opening(full=True))
    with pytest.raises(BrokenFeed):
        copy.apply(copy.opening(full=True))


def test_another_versions_protocol_is_not_guessed_at(copy: Copy) -> None:
    copy.copy.begin()
    with pytest.raises(BrokenFeed, match="version 2"):
        copy.apply(copy.opening(full=True, protocol=2))


def test_an_empty_copy_accepts_only_a_snapshot(copy: Copy) -> None:
    """Changes alone would get a lease as if they were complete."""
    assert copy.copy.begin() is None
    with pytest.raises(BrokenFeed):
        copy.apply(copy.opening(full=False))


# --- scope, other processes, files ----------------------------------------------------------------


def test_a_copy_of_another_scope_counts_as_empty(
    samples: Samples, copy: Copy, clocks: Clocks, tmp_path: Path
) -> None:
    """A service with other limits than before rebuilds its copy. Until then the old one is stale: a
    token that it lacks may be valid."""
    copy.build(samples)
    later = Copy(tmp_path / "followed.db", clocks, scope="company cmp_1")
    assert later.copy.begin() is None
    assert later.reason(samples.texts["good"]) == "stale"
    later.apply(later.opening(full=True))
    later.apply(records(*samples.records[:6]))
    later.apply(later.reached(TWO))
    assert later.copy.begin() == TWO
    assert copy.copy.begin() is None
    later.copy.close()


def test_a_process_that_lost_the_lock_while_asleep_takes_nothing_back(
    samples: Samples, copy: Copy, clocks: Clocks, tmp_path: Path
) -> None:
    copy.build(samples)
    other = Copy(tmp_path / "followed.db", clocks)
    other.begin(full=False)
    other.apply(records(samples.changed("good", deactivated=True)))
    other.apply(other.reached(TWO))
    other.copy.close()
    with pytest.raises(Unavailable):
        copy.apply(copy.reached(ONE))
    with pytest.raises(Unavailable):
        copy.apply(records(samples.grants["good"]))
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated


@pytest.mark.parametrize("replaced", [False, True])
def test_a_removed_file_gets_no_lease(samples: Samples, copy: Copy, replaced: bool) -> None:
    copy.build(samples)
    for path in copy.file.path.parent.glob("followed.db*"):
        if path != copy.file.shared.path:
            path.unlink()
    if replaced:
        open_copy(copy.file.path).close()
    copy.apply(records(samples.changed("good", deactivated=True)))
    with pytest.raises(CopyRemoved):
        copy.apply(copy.reached(TWO))
    copy.copy.close()
    # A new file must not get a lease in the old one's map: a process may still read the old file.
    with pytest.raises(CopyRemoved):
        copy.copy.begin()


def test_a_stream_closed_between_changes_continues(samples: Samples, copy: Copy) -> None:
    """As for a fork."""
    copy.build(samples)
    copy.copy.close()
    assert copy.apply(copy.reached(ONE)) == ONE
    copy.copy.close()
    copy.apply(records(samples.changed("good", deactivated=True)))
    assert copy.apply(copy.reached(TWO)) == TWO
    assert copy.reason(samples.texts["good"]) is Reason.token_deactivated


def test_a_stream_closed_within_a_change_is_ended(samples: Samples, copy: Copy) -> None:
    """Otherwise the second half would be committed as a complete change."""
    copy.build(samples)
    copy.apply(records(samples.changed("good", deactivated=True)))
    copy.copy.close()
    for frame in (records(samples.grants["login"]), copy.reached(TWO)):
        with pytest.raises(Unavailable):
            copy.apply(frame)
    assert copy.copy.begin() == ONE


# --- records without end --------------------------------------------------------------------------


def apply_for(seconds: float, copy: Copy, portion: Records) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        copy.apply(portion)


@pytest.mark.parametrize("full", [True, False])
def test_records_without_end_are_cut_off(
    copy: Copy, samples: Samples, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """The copy stays as it was."""
    copy.build(samples)
    before = copy.rows()
    copy.begin(full=full)
    limit = "LONGEST_SNAPSHOT_SECONDS" if full else "LONGEST_CHANGE_SECONDS"
    monkeypatch.setattr(streamed_copy, limit, 0.2)
    with pytest.raises(BrokenFeed, match="cut"):
        apply_for(60, copy, records(*samples.records))
    copy.copy.close()
    assert copy.rows() == before
    assert copy.copy.begin() == ONE


def test_records_leave_some_of_the_disk_free(
    copy: Copy, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It isn't the copy's alone. A small change is taken on a full disk, too."""
    copy.build(samples)
    full = type("Disk", (), {"total": 100 << 30, "free": 100 << 20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    copy.begin(full=True)
    portion = frames.pack([("grants", f"gpat_{n:016}", bytes(4_000), 1) for n in range(1_000)])
    with pytest.raises(BrokenFeed, match="would fill the disk"):
        apply_for(60, copy, portion)
    copy.begin(full=False)
    copy.apply(records(*samples.records))
    assert copy.apply(copy.reached(TWO)) == TWO
