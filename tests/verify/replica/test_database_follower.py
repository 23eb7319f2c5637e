"""A follower keeps a copy of the grants current, and renews its lease only while it is."""

import os
import secrets
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Unavailable
from gatepass.core.grants import CompanyRules, Grant, Holder, encode
from gatepass.core.routes import Routes
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica import database_follower as follower_module
from gatepass.verify.replica.database_follower import Follower, NodeLock
from gatepass.verify.replica.grant_copy import ChangedRow, Position, open_copy, position
from gatepass.verify.verifier import Verifier
from tests.support.feed.followed_copy import file_rows
from tests.support.grants.grant_fixtures import Clocks, Samples, reason
from tests.support.processes.children import finished, in_child, killed_in_the_end
from tests.support.waiting import until

STALENESS_MS = 10_000


class Outage(Exception):
    """The primary, or the way to it, is gone."""


class Primary:
    """A registry with a history, and a feed from it.

    Attributes:
        now_ms: its clock.
        faults: what fails from now on, by the name of the method.
        asked: the methods that were called, in order.
        during: called before every method with its name.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.rows: dict[tuple[str, str], tuple[bytes, int]] = {}
        self.history: dict[int, str] = {0: "0" * 16}
        self.faults: set[str] = set()
        self.asked: list[str] = []
        self.during: Callable[[str], None] = lambda _: None
        self.woken = threading.Event()

    @property
    def position(self) -> Position:
        number = max(self.history)
        return number, self.history[number]

    def commit(self, *records: Grant | Holder | CompanyRules) -> None:
        """One change."""
        number = max(self.history) + 1
        tables = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}
        for record in records:
            self.rows[tables[type(record)], record.id] = (encode(record), number)
        self.history[number] = secrets.token_hex(8)
        self.woken.set()

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        self.during(name)
        if name in self.faults:
            raise Outage(name)

    def _sent(self, name: str, rows: list[ChangedRow]) -> Iterator[ChangedRow]:
        for number, row in enumerate(rows):
            if number and number == len(rows) // 2:
                self._ask(f"half of the {name}")
            yield row

    def heartbeat(self) -> int:
        told_ms = self.now_ms()
        self._ask("heartbeat")
        return told_ms

    def changes(self, after: Position) -> tuple[Position, Iterable[ChangedRow]] | None:
        self._ask("changes")
        if self.history.get(after[0]) != after[1]:
            return None
        rows = [
            (table, key, record, revision)
            for (table, key), (record, revision) in self.rows.items()
            if revision > after[0]
        ]
        return self.position, self._sent("changes", sorted(rows, key=lambda row: (row[3], row[1])))

    def snapshot(self) -> tuple[Position, Iterable[ChangedRow]]:
        self._ask("snapshot")
        rows = [(*name, *content) for name, content in self.rows.items()]
        return self.position, self._sent("snapshot", rows)

    def wait(self, seconds: float) -> None:
        self._ask("wait")
        self.woken.wait(min(seconds, 0.02))
        self.woken.clear()

    def close(self) -> None:
        self._ask("close")


@pytest.fixture
def primary(samples: Samples, clocks: Clocks) -> Primary:
    """A registry with the usual cast in it, every record a revision of its own."""
    primary = Primary(lambda: clocks.wall_ms)
    for record in samples.records:
        primary.commit(record)
    return primary


class Copy:
    """A node's copy: its file, its follower, and a verifier in another process."""

    def __init__(self, path: Path, clocks: Clocks) -> None:
        self.file = GrantFile(path)
        self.connection = open_copy(path)
        self.clocks = clocks
        self.clock = clocks.clock()
        self.follower = Follower(self.file, self.clock, STALENESS_MS)
        self.verifier = Verifier(GrantFile(path), clocks.clock(), Routes([]), copy=True)

    def sync(self, primary: Primary) -> None:
        self.follower.sync(self.connection, primary)

    def reason(self, text: str) -> str:
        return reason(self.verifier, text)

    def rows(self) -> dict[tuple[str, str], tuple[bytes, int]]:
        return file_rows(self.file.path)


@pytest.fixture
def copy(tmp_path: Path, clocks: Clocks) -> Iterator[Copy]:
    copy = Copy(tmp_path / "grants.db", clocks)
    yield copy
    copy.connection.close()


def test_an_empty_copy_is_filled_and_gets_a_lease(
    samples: Samples, primary: Primary, copy: Copy
) -> None:
    """It decides nothing before the first sync, and everything after it."""
    assert copy.reason(samples.texts["good"]) == "stale"
    copy.sync(primary)
    assert primary.asked == ["heartbeat", "snapshot", "half of the snapshot"]
    assert copy.rows() == primary.rows
    assert position(copy.connection) == primary.position
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    assert copy.reason(samples.texts["gone"]) is Reason.account_deactivated


def test_what_changed_is_followed(samples: Samples, primary: Primary, copy: Copy) -> None:
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


def test_revisions_are_applied_atomically(samples: Samples, primary: Primary, copy: Copy) -> None:
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


def test_nothing_new_writes_nothing(samples: Samples, primary: Primary, copy: Copy) -> None:
    """A sync without changes renews the lease and keeps the generation: caches stay warm."""
    copy.sync(primary)
    generation = copy.file.shared.generation
    copy.clocks.advance(9)
    copy.sync(primary)
    copy.clocks.advance(9)
    assert copy.file.shared.generation == generation
    assert copy.reason(samples.texts["good"]) is Reason.allowed


def test_a_copy_continues_from_its_position(
    samples: Samples, primary: Primary, copy: Copy, clocks: Clocks
) -> None:
    """A restart needs no rebuild: the copy has its revision and tag."""
    copy.sync(primary)
    copy.connection.close()
    primary.commit(samples.changed("good", deactivated=True))
    primary.asked.clear()
    later = Copy(copy.file.path, clocks)
    later.sync(primary)
    later.connection.close()
    assert "snapshot" not in primary.asked
    assert later.reason(samples.texts["good"]) is Reason.token_deactivated


# --- histories that part --------------------------------------------------------------------------


def part(primary: Primary) -> None:
    """The primary loses its last revision, and goes on without it."""
    number, _ = primary.position
    del primary.history[number]
    lost = [name for name, (_, revision) in primary.rows.items() if revision == number]
    for name in lost:
        del primary.rows[name]


def test_a_copy_of_another_history_is_rebuilt_in_place(
    samples: Samples, primary: Primary, copy: Copy
) -> None:
    """Same revision, other tag: rows that the primary lost are deleted, its own are added, and the
    file is the same file."""
    primary.commit(samples.grants["unknown"])
    copy.sync(primary)
    assert copy.reason(samples.texts["unknown"]) is Reason.allowed
    inode = copy.file.path.stat().st_ino
    part(primary)
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
    samples: Samples, primary: Primary, copy: Copy
) -> None:
    """A restored backup doesn't know the copy's revision at all."""
    primary.commit(samples.grants["unknown"])
    copy.sync(primary)
    part(primary)
    copy.sync(primary)
    assert copy.rows() == primary.rows
    assert copy.file.shared.revision == primary.position[0]


def test_the_lease_of_another_historys_copy_ends_at_once(
    samples: Samples, primary: Primary, copy: Copy
) -> None:
    """Before the snapshot is requested. Nothing is decided until it is complete."""
    copy.sync(primary)
    part(primary)
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
    samples: Samples, primary: Primary, copy: Copy, fault: str
) -> None:
    """It is rolled back. Nothing is decided until a snapshot is complete."""
    primary.commit(samples.grants["unknown"])
    copy.sync(primary)
    before = copy.rows()
    part(primary)
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


def test_a_first_snapshot_that_breaks_off_never_gets_a_lease(
    samples: Samples, primary: Primary, copy: Copy
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
    samples: Samples, primary: Primary, copy: Copy, fault: str
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


# --- lease ----------------------------------------------------------------------------------------


def test_a_primary_that_cant_commit_renews_no_lease(
    samples: Samples, primary: Primary, copy: Copy
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
    samples: Samples, primary: Primary, copy: Copy, step: str
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
    samples: Samples, primary: Primary, copy: Copy
) -> None:
    """The follower was suspended after it sent the request."""
    primary.during = lambda step: copy.clocks.advance(11) if step == "heartbeat" else None
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) == "stale"


def test_a_follower_that_lost_its_lock_takes_nothing_back(
    samples: Samples, primary: Primary, copy: Copy, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Suspended between the answer and the write while another process advanced the copy: the
    answer is too old to be written or to renew the lease."""
    copy.sync(primary)
    primary.commit(samples.changed("login", deactivated=True))
    other = Copy(copy.file.path, clocks)
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


# --- one time for all -----------------------------------------------------------------------------

HOURS_MS = 4 * 3_600_000


@pytest.mark.parametrize("apart_ms", [HOURS_MS, 5_001, -5_001, -HOURS_MS])
def test_a_node_whose_clock_is_wrong_gets_no_lease(
    samples: Samples, primary: Primary, copy: Copy, apart_ms: int, caplog: pytest.LogCaptureFixture
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
    samples: Samples, primary: Primary, copy: Copy, apart_ms: int
) -> None:
    primary.now_ms = lambda: copy.clocks.wall_ms + apart_ms
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.allowed


def test_a_wall_clock_that_jumped_ahead_is_noticed_before_it_is_followed(
    samples: Samples, primary: Primary, copy: Copy
) -> None:
    """Another process of the node may follow it first."""
    copy.sync(primary)
    right = copy.clocks.wall_ms
    primary.now_ms = lambda: right
    copy.clocks.wall_ms += 6_000
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) == "stale"


def test_an_answer_that_took_too_long_proves_nothing_about_clocks(
    samples: Samples, primary: Primary, copy: Copy
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
    samples: Samples, primary: Primary, copy: Copy, fresh: bool
) -> None:
    """If SQLite's side files were removed, a process may read another state of the copy than the
    follower writes. The lease doesn't cover that state."""
    copy.sync(primary)
    assert copy.reason(samples.texts["good"]) is Reason.allowed
    # What the follower wrote, and this reader doesn't see.
    copy.file.shared.set_position(primary.position[0] + 1, secrets.token_hex(8))
    if fresh:
        copy.verifier = Verifier(
            GrantFile(copy.file.path), copy.clocks.clock(), Routes([]), copy=True
        )
    else:
        copy.verifier.file.watch()
        copy.clocks.advance(1.1)
    assert copy.reason(samples.texts["good"]) == "unavailable"


def test_another_tag_is_another_position(samples: Samples, primary: Primary, copy: Copy) -> None:
    copy.sync(primary)
    copy.file.shared.set_position(primary.position[0], secrets.token_hex(8))
    copy.verifier.file.watch()
    assert copy.reason(samples.texts["good"]) == "unavailable"


# --- going on -------------------------------------------------------------------------------------


class Following:
    """A follower at work in a thread, by the machine's own clocks."""

    def __init__(self, path: Path, primary: Primary, staleness_ms: int = 1_000) -> None:
        self.file = GrantFile(path)
        primary.now_ms = lambda: time.time_ns() // 1_000_000
        self.verifier = Verifier(self.file, Clock(), Routes([]), copy=True)
        self._stopped = threading.Event()
        follower = Follower(self.file, Clock(), staleness_ms)
        self._thread = threading.Thread(
            target=follower.follow, args=(primary, lambda: not self._stopped.is_set())
        )
        self._thread.start()

    def reason(self, text: str) -> str:
        return reason(self.verifier, text)

    def until(self, text: str, reason: str) -> None:
        """Wait until *text* is decided so."""
        until(lambda: self.reason(text) == reason, lambda: f"{reason}: {self.reason(text)}")

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_copy_that_lost_a_side_file_is_rebuilt(
    samples: Samples, primary: Primary, tmp_path: Path, end: str
) -> None:
    """What is left of it is another state, which a process that opens it now would read."""
    with Following(tmp_path / "grants.db", primary) as following:
        following.until(samples.texts["good"], Reason.allowed)
        Path(f"{following.file.path}{end}").unlink()
        primary.commit(samples.changed("good", deactivated=True))
        newcomer = Verifier(GrantFile(following.file.path), Clock(), Routes([]), copy=True)
        for verifier in (following.verifier, newcomer):
            following.verifier = verifier

            def ended(verifier: Verifier = verifier) -> bool:
                # As every process does about once a second.
                verifier.file.watch()
                return following.reason(samples.texts["good"]) == Reason.token_deactivated

            until(ended)


def test_a_change_travels_on_its_own(samples: Samples, primary: Primary, tmp_path: Path) -> None:
    """From the commit at the primary to the decision here."""
    with Following(tmp_path / "grants.db", primary) as following:
        following.until(samples.texts["good"], "allowed")
        primary.commit(samples.changed("good", deactivated=True))
        following.until(samples.texts["good"], "token_deactivated")
    # Neither a new snapshot nor a new connection was needed.
    assert primary.asked.count("snapshot") == primary.asked.count("close") == 1
    assert primary.asked[-1] == "close"


@pytest.mark.parametrize("fault", ["heartbeat", "changes", "wait", "close"])
def test_the_follower_retries_during_an_outage(
    samples: Samples, primary: Primary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Whatever fails, the follower closes its connections and retries, even if closing fails."""
    for name in ("_RETRY_SECONDS", "_LONGEST_RETRY_SECONDS"):
        monkeypatch.setattr(follower_module, name, 0.05)
    with Following(tmp_path / "grants.db", primary) as following:
        following.until(samples.texts["good"], "allowed")
        primary.faults |= {fault, "heartbeat"}
        primary.asked.clear()
        following.until(samples.texts["good"], "stale")
        assert primary.asked.count("close") > 5
        primary.commit(samples.changed("good", deactivated=True))
        primary.faults.clear()
        following.until(samples.texts["good"], "token_deactivated")


def test_an_outage_that_lasts_is_retried_more_seldom_and_logged_once(
    copy: Copy, primary: Primary, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each attempt may cost the primary a full snapshot."""
    pauses: list[float] = []
    monkeypatch.setattr(follower_module, "_sleep", lambda seconds, _: pauses.append(seconds))
    primary.faults.add("snapshot")
    copy.follower.follow(primary, lambda: len(pauses) < 5)
    assert pauses == [0.5, 1.0, 2.0, 2.0, 2.0]
    # Begun again, as after the copy's file was replaced.
    copy.follower.follow(primary, lambda: len(pauses) < 9)
    assert [record.getMessage() for record in caplog.records] == [
        "loading a full snapshot of the grants",
        "following is interrupted: Outage",
    ]


def test_opening_the_copy_is_retried(
    samples: Samples, primary: Primary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the start, or an error that a connection keeps, doesn't stop the follower."""
    monkeypatch.setattr(follower_module, "_RETRY_SECONDS", 0.05)
    opened = []

    def failing_at_first(path: Path) -> sqlite3.Connection:
        opened.append(path)
        if len(opened) < 4:
            raise sqlite3.OperationalError("disk I/O error")
        return open_copy(path)

    monkeypatch.setattr(follower_module, "open_copy", failing_at_first)
    with Following(tmp_path / "grants.db", primary) as following:
        following.until(samples.texts["good"], "allowed")
    assert len(opened) == 4


def test_a_broken_connection_to_the_copy_is_replaced(
    samples: Samples, primary: Primary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not used again and again."""
    monkeypatch.setattr(follower_module, "_RETRY_SECONDS", 0.05)
    connections: list[sqlite3.Connection] = []

    def remembered(path: Path) -> sqlite3.Connection:
        connections.append(open_copy(path))
        return connections[-1]

    monkeypatch.setattr(follower_module, "open_copy", remembered)
    with Following(tmp_path / "grants.db", primary) as following:
        following.until(samples.texts["good"], "allowed")
        connections[0].close()
        primary.commit(samples.changed("good", deactivated=True))
        following.until(samples.texts["good"], "token_deactivated")


def test_no_secret_is_logged_by_an_outage(
    samples: Samples, primary: Primary, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver's complaint may quote the URL with its password: only its kind is logged."""

    def quoting(_: str) -> None:
        raise Outage("postgresql://gatepass:hunter2@primary/gatepass")

    primary.during = quoting
    with Following(tmp_path / "grants.db", primary):
        until(lambda: "Outage" in caplog.text)
    assert "Outage" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_follower_killed_half_way_leaves_a_consistent_copy(
    samples: Samples, primary: Primary, tmp_path: Path, clocks: Clocks
) -> None:
    """kill -9 during a rebuild leaves the previous rows, without a lease. The next follower
    continues at once."""
    path = tmp_path / "grants.db"
    copy = Copy(path, clocks)
    copy.sync(primary)
    before = copy.rows()
    copy.connection.close()
    part(primary)
    primary.commit(samples.changed("good", deactivated=True))

    def rebuild_and_die() -> None:
        primary.during = lambda step: (
            os.kill(os.getpid(), signal.SIGKILL) if step.startswith("half") else None
        )
        Copy(path, clocks).sync(primary)

    assert not finished(in_child(rebuild_and_die))
    later = Copy(path, clocks)
    assert later.rows() == before
    assert later.reason(samples.texts["good"]) == "stale"
    later.sync(primary)
    assert later.rows() == primary.rows
    assert later.reason(samples.texts["good"]) is Reason.token_deactivated
    later.connection.close()


# --- who follows ----------------------------------------------------------------------------------


def test_one_process_of_a_node_holds_the_lock(tmp_path: Path) -> None:
    """Two of them never follow, or fold counts, at once; acquiring doesn't wait."""
    mine = NodeLock(tmp_path / "grants.db-lock")
    other = NodeLock(tmp_path / "grants.db-lock")
    assert not mine.held
    assert mine.acquire()
    assert mine.acquire()
    assert not other.acquire()
    assert (mine.held, other.held) == (True, False)
    mine.close()
    assert not mine.held
    assert other.acquire()
    other.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_holders_lock_can_be_acquired_at_once(tmp_path: Path, how: signal.Signals) -> None:
    """Whatever killed it."""
    path = tmp_path / "grants.db-lock"
    ready, said = os.pipe()

    def hold() -> None:
        lock = NodeLock(path)
        os.write(said, b"1" if lock.acquire() else b"0")
        signal.pause()

    mine = NodeLock(path)
    with killed_in_the_end(hold, how):
        assert os.read(ready, 1) == b"1"
        assert not mine.acquire()
    assert mine.acquire()
    mine.close()
    os.close(ready)
    os.close(said)
    assert path.exists()
