"""The grant file and what lies beside it: whose they are, and what happens when they fail."""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.verify.freshness import SharedMap
from gatepass.verify.grant_file import READ_TIMEOUT_S, TABLES, UPSERT, GrantFile, ddl
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.replica.grant_copy import open_copy
from gatepass.verify.verifier import Verifier
from tests.support.concurrency import concurrently
from tests.support.grants.grant_fixtures import Clocks, Samples


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A user who shares everything with everyone."""
    before = os.umask(0)
    yield
    os.umask(before)


OPENERS: dict[str, Callable[[Path], object]] = {"map": SharedMap, "lock": NodeLock}


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.usefixtures("open_umask")
def test_map_and_lock_are_for_their_owner_alone(
    tmp_path: Path, opener: Callable[[Path], object]
) -> None:
    """They are made with mode 0600, whatever the umask."""
    path = tmp_path / "file"
    opener(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.usefixtures("open_umask")
def test_a_copy_of_the_grants_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A follower's file too."""
    open_copy(tmp_path / "copy.db").close()
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_map_and_lock_lie_beside_the_file_and_are_named_after_it(samples: Samples) -> None:
    """Their names show what they belong to."""
    NodeLock(samples.file.lock_path)
    names = {path.name for path in samples.path.parent.iterdir()}
    assert {"gatepass.db", "gatepass.db-map", "gatepass.db-lock"} <= names


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_map_and_lock_are_made_once(tmp_path: Path, opener: Callable[[Path], object]) -> None:
    """Opened again, they are the same file with the same content: never truncated or replaced."""
    path = tmp_path / "file"
    opener(path)
    path.write_bytes(bytes(range(256)) * 20)
    before = path.stat()
    opener(path)
    assert path.stat().st_ino == before.st_ino
    assert path.read_bytes() == bytes(range(256)) * 20
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_generation_outlives_the_process_that_wrote_it(tmp_path: Path) -> None:
    """A process that starts later maps the words that are there."""
    first = SharedMap(tmp_path / "map")
    first.change_generation()
    first.record_time(123_456)
    later = SharedMap(tmp_path / "map")
    assert (later.generation, later.latest_ms) == (first.generation, 123_456)
    assert later.generation


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make *path* someone else's."""
    if os.geteuid() == 0:
        os.chown(path, 65_534, 65_534, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)


@pytest.mark.parametrize("suffix", ["", "-map"])
def test_a_command_run_as_another_user_refuses(
    samples: Samples, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Files made by a root shell would stop the service: nothing is opened, nothing is made."""
    path = samples.path.with_name(samples.path.name + suffix)
    given_away(path, monkeypatch)
    present = sorted(samples.path.parent.iterdir())
    with pytest.raises(Misconfigured) as refused:
        GrantFile(samples.path)
    assert str(path) in refused.value.message
    assert "another user" in refused.value.message
    assert sorted(samples.path.parent.iterdir()) == present


def test_nothing_is_made_beside_another_users_file(
    samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner is looked at before the map is made."""
    (samples.path.parent / "gatepass.db-map").unlink()
    given_away(samples.path, monkeypatch)
    with pytest.raises(Misconfigured):
        GrantFile(samples.path)
    assert not (samples.path.parent / "gatepass.db-map").exists()


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_another_users_map_or_lock_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opener: Callable[[Path], object]
) -> None:
    """Who owns the words decides what counts."""
    path = tmp_path / "file"
    path.touch(0o666)
    given_away(path, monkeypatch)
    with pytest.raises(Misconfigured, match="belongs to another user"):
        opener(path)


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
@pytest.mark.parametrize("target", ["there", "not there"])
def test_a_symbolic_link_is_refused(
    tmp_path: Path, opener: Callable[[Path], object], target: str
) -> None:
    """Otherwise a user who can write to the directory could have any of our files written."""
    (tmp_path / "there").write_bytes(b"precious")
    (tmp_path / "file").symlink_to(tmp_path / target)
    with pytest.raises(Misconfigured, match="can't be opened") as refused:
        opener(tmp_path / "file")
    assert "\n" not in refused.value.message
    assert (tmp_path / "there").read_bytes() == b"precious"
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)
def test_what_is_no_plain_file_is_refused(tmp_path: Path, opener: Callable[[Path], object]) -> None:
    """A directory or a pipe in its place is a fault that is named."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("directory", "pipe"):
        with pytest.raises(Misconfigured, match=name):
            opener(tmp_path / name)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """One line says which."""
    with pytest.raises(Misconfigured, match="there is no directory"):
        GrantFile(tmp_path / "nowhere" / "gatepass.db")


def test_readers_can_only_read(samples: Samples) -> None:
    """Connections for deciding are read-only: no bug of ours can change a grant through them."""
    file = GrantFile(samples.path)
    assert file.record("grants", "nothing") is None
    cursor = file._local.reader.cursor
    for statement in ("DELETE FROM grants", "CREATE TABLE more (id)", "PRAGMA user_version = 9"):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            cursor.execute(statement)
    cursor.execute("PRAGMA query_only = 0")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        cursor.execute("DELETE FROM grants")


def test_reading_makes_no_file(tmp_path: Path) -> None:
    """Where there is no database, asking doesn't make an empty one."""
    file = GrantFile(tmp_path / "gatepass.db")
    with pytest.raises(Unavailable):
        file.record("grants", "any")
    assert not (tmp_path / "gatepass.db").exists()


# --- outages --------------------------------------------------------------------------------------


def lock(samples: Samples) -> None:
    samples.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    samples.connection.execute("BEGIN EXCLUSIVE")
    samples.connection.execute("UPDATE grants SET revision = 2")


def unlock(samples: Samples) -> None:
    samples.connection.execute("COMMIT")
    samples.connection.execute("PRAGMA locking_mode = NORMAL")
    samples.connection.execute("SELECT count(*) FROM grants").fetchall()


def empty_log(samples: Samples) -> None:
    samples.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    samples.connection.close()


def corrupt_header(samples: Samples) -> None:
    empty_log(samples)
    with samples.path.open("r+b") as file:
        file.write(b"This is not a database at all. " * 4)


def corrupt_pages(samples: Samples) -> None:
    empty_log(samples)
    with samples.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (samples.path.stat().st_size - 4096))


def truncate(samples: Samples) -> None:
    empty_log(samples)
    os.truncate(samples.path, 0)


def remove(samples: Samples) -> None:
    empty_log(samples)
    samples.path.unlink()


def no_tables(samples: Samples) -> None:
    for table in TABLES:
        samples.connection.execute(f"ALTER TABLE {table} RENAME TO former_{table}")


def damage(samples: Samples, table: str, record: object) -> None:
    samples.connection.execute(f"UPDATE {table} SET record = ?", (record,))


OUTAGES: dict[str, Callable[[Samples], None]] = {
    "locked": lock,
    "corrupt header": corrupt_header,
    "corrupt pages": corrupt_pages,
    "truncated": truncate,
    "missing": remove,
    "without tables": no_tables,
    "a damaged grant": lambda samples: damage(samples, "grants", b"\x93\x01\x02"),
    "an empty grant": lambda samples: damage(samples, "grants", b""),
    "a grant of another sort": lambda samples: damage(samples, "grants", b"\x90"),
    "text for a grant": lambda samples: damage(samples, "grants", "allowed"),
    "a grant that isn't text": lambda samples: damage(samples, "grants", b"\x91\xa2\xff\xff"),
    "a damaged holder": lambda samples: damage(samples, "holders", b"\xc1"),
    "a damaged company": lambda samples: damage(samples, "company_rules", b"\x80"),
}


def test_a_reader_waits_for_a_tenth_of_a_second_at_most() -> None:
    """A gateway is told 503 rather than kept waiting."""
    assert READ_TIMEOUT_S <= 0.1


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_is_said_soon_and_is_never_allowed(
    samples: Samples, clocks: Clocks, outage: Callable[[Samples], None]
) -> None:
    """A file that can't be read within about 100 ms is "unavailable": not "allowed", and not
    "no such token" either, which would make people throw good tokens away."""
    outage(samples)
    verifier = samples.verifier(clocks.clock())
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            verifier.check(samples.texts["good"], permission="charges:get")
        assert refused.value.reason == "unavailable"
        assert samples.texts["good"][21:53] not in str(refused.value)


def test_readers_wait_no_longer_than_a_tenth_of_a_second() -> None:
    """A gateway that waits is a gateway that hangs."""
    assert READ_TIMEOUT_S <= 0.1


def test_an_outage_after_the_cache_ran_out_is_no_allowed(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    """What is cached outlasts the file by a second at most, then it is an outage, until it ends."""
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed
    samples.connection.execute("ALTER TABLE revision RENAME TO gone")
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed
    clocks.advance(1)
    with pytest.raises(Unavailable):
        verifier.check(samples.texts["good"], permission="charges:get")
    samples.connection.execute("ALTER TABLE gone RENAME TO revision")
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed


def test_an_outage_ends_by_itself(samples: Samples, clocks: Clocks) -> None:
    """Once the lock is gone, the same verifier decides again."""
    verifier = samples.verifier(clocks.clock())
    lock(samples)
    with pytest.raises(Unavailable):
        verifier.check(samples.texts["good"], permission="charges:get")
    unlock(samples)
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed


def test_an_outage_of_the_keys_is_an_outage(samples: Samples, clocks: Clocks) -> None:
    """A service's key that can't be looked up isn't "wrong"."""
    verifier = samples.verifier(clocks.clock())
    remove(samples)
    with pytest.raises(Unavailable):
        verifier.verifier_key(samples.texts["verifier"])
    with pytest.raises(Unavailable):
        verifier.file.count()


def test_a_file_removed_while_it_is_open_is_noticed(samples: Samples, verifier: Verifier) -> None:
    """Open connections would read on from a file without a name; the watch ends that."""
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed
    verifier.file.watch()
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed
    remove(samples)
    verifier.file.watch()
    verifier.file.watch()
    with pytest.raises(Unavailable):
        verifier.check(samples.texts["good"], permission="charges:get")


def test_a_file_replaced_while_it_is_open_is_noticed(samples: Samples, verifier: Verifier) -> None:
    """So does a file put in its place: decisions go by what is there now."""
    assert verifier.check(samples.texts["good"], permission="charges:get").allowed
    other = sqlite3.connect(samples.path.with_name("other.db"), isolation_level=None)
    for statement in ddl("sqlite"):
        other.execute(statement)
    other.close()
    remove(samples)
    samples.path.with_name("other.db").rename(samples.path)
    verifier.file.watch()
    decision = verifier.check(samples.texts["good"], permission="charges:get")
    assert decision.reason is Reason.token_invalid


def test_each_thread_reads_by_a_connection_of_its_own(samples: Samples, clocks: Clocks) -> None:
    """Many threads on one verifier decide alike."""
    verifier = samples.verifier(clocks.clock())
    wrong = []

    def ask(_: int) -> None:
        for _ in range(200):
            if not verifier.check(samples.texts["good"], permission="charges:get").allowed:
                wrong.append("denied")
            if verifier.check(samples.texts["deactivated"], permission="charges:get").allowed:
                wrong.append("allowed")
            verifier.file.shared.change_generation()

    concurrently(ask, range(4))
    assert not wrong


def test_rows_are_counted(samples: Samples) -> None:
    """How many grants a file has, for those who ask."""
    assert GrantFile(samples.path).count("holders") == 6


def test_there_are_no_tables_for_other_engines() -> None:
    """The definition is written for two engines, and for no third by accident."""
    assert len(ddl("sqlite")) == len(UPSERT) == 3
    assert len(ddl("postgresql")) == 3
    with pytest.raises(ValueError, match="mysql"):
        ddl("mysql")
