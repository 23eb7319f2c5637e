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
from tests.support.grants.grant_fixtures import Clocks, World


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


def test_map_and_lock_lie_beside_the_file_and_are_named_after_it(world: World) -> None:
    """Their names show what they belong to."""
    NodeLock(world.file.lock_path)
    names = {path.name for path in world.path.parent.iterdir()}
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
    world: World, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Files made by a root shell would stop the service: nothing is opened, nothing is made."""
    path = world.path.with_name(world.path.name + suffix)
    given_away(path, monkeypatch)
    present = sorted(world.path.parent.iterdir())
    with pytest.raises(Misconfigured) as refused:
        GrantFile(world.path)
    assert str(path) in refused.value.message
    assert "another user" in refused.value.message
    assert sorted(world.path.parent.iterdir()) == present


def test_nothing_is_made_beside_another_users_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner is looked at before the map is made."""
    (world.path.parent / "gatepass.db-map").unlink()
    given_away(world.path, monkeypatch)
    with pytest.raises(Misconfigured):
        GrantFile(world.path)
    assert not (world.path.parent / "gatepass.db-map").exists()


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


def test_readers_can_only_read(world: World) -> None:
    """Connections for deciding are read-only: no bug of ours can change a grant through them."""
    file = GrantFile(world.path)
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


def lock(world: World) -> None:
    world.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    world.connection.execute("BEGIN EXCLUSIVE")
    world.connection.execute("UPDATE grants SET revision = 2")


def unlock(world: World) -> None:
    world.connection.execute("COMMIT")
    world.connection.execute("PRAGMA locking_mode = NORMAL")
    world.connection.execute("SELECT count(*) FROM grants").fetchall()


def empty_log(world: World) -> None:
    world.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    world.connection.close()


def corrupt_header(world: World) -> None:
    empty_log(world)
    with world.path.open("r+b") as file:
        file.write(b"This is not a database at all. " * 4)


def corrupt_pages(world: World) -> None:
    empty_log(world)
    with world.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (world.path.stat().st_size - 4096))


def truncate(world: World) -> None:
    empty_log(world)
    os.truncate(world.path, 0)


def remove(world: World) -> None:
    empty_log(world)
    world.path.unlink()


def no_tables(world: World) -> None:
    for table in TABLES:
        world.connection.execute(f"ALTER TABLE {table} RENAME TO former_{table}")


def damage(world: World, table: str, record: object) -> None:
    world.connection.execute(f"UPDATE {table} SET record = ?", (record,))


OUTAGES: dict[str, Callable[[World], None]] = {
    "locked": lock,
    "corrupt header": corrupt_header,
    "corrupt pages": corrupt_pages,
    "truncated": truncate,
    "missing": remove,
    "without tables": no_tables,
    "a damaged grant": lambda world: damage(world, "grants", b"\x93\x01\x02"),
    "an empty grant": lambda world: damage(world, "grants", b""),
    "a grant of another sort": lambda world: damage(world, "grants", b"\x90"),
    "text for a grant": lambda world: damage(world, "grants", "allowed"),
    "a grant that isn't text": lambda world: damage(world, "grants", b"\x91\xa2\xff\xff"),
    "a damaged holder": lambda world: damage(world, "holders", b"\xc1"),
    "a damaged company": lambda world: damage(world, "company_rules", b"\x80"),
}


def test_a_reader_waits_for_a_tenth_of_a_second_at_most() -> None:
    """A gateway is told 503 rather than kept waiting."""
    assert READ_TIMEOUT_S <= 0.1


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_is_said_soon_and_is_never_allowed(
    world: World, clocks: Clocks, outage: Callable[[World], None]
) -> None:
    """A file that can't be read within about 100 ms is "unavailable": not "allowed", and not
    "no such token" either, which would make people throw good tokens away."""
    outage(world)
    verifier = world.verifier(clocks.clock())
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            verifier.check(world.texts["good"], permission="charges:get")
        assert refused.value.reason == "unavailable"
        assert world.texts["good"][21:53] not in str(refused.value)


def test_readers_wait_no_longer_than_a_tenth_of_a_second() -> None:
    """A gateway that waits is a gateway that hangs."""
    assert READ_TIMEOUT_S <= 0.1


def test_an_outage_after_the_cache_ran_out_is_no_allowed(
    world: World, verifier: Verifier, clocks: Clocks
) -> None:
    """What is cached outlasts a lock by a second at most; then it is an outage; then it's over."""
    assert verifier.check(world.texts["good"], permission="charges:get").allowed
    damage(world, "grants", b"\xc1")
    clocks.advance(1)
    with pytest.raises(Unavailable):
        verifier.check(world.texts["good"], permission="charges:get")
    world.put(world.grants["good"])
    assert verifier.check(world.texts["good"], permission="charges:get").allowed


def test_an_outage_ends_by_itself(world: World, clocks: Clocks) -> None:
    """Once the lock is gone, the same verifier decides again."""
    verifier = world.verifier(clocks.clock())
    lock(world)
    with pytest.raises(Unavailable):
        verifier.check(world.texts["good"], permission="charges:get")
    unlock(world)
    assert verifier.check(world.texts["good"], permission="charges:get").allowed


def test_an_outage_of_the_keys_is_an_outage(world: World, clocks: Clocks) -> None:
    """A service's key that can't be looked up isn't "wrong"."""
    verifier = world.verifier(clocks.clock())
    remove(world)
    with pytest.raises(Unavailable):
        verifier.verifier_key(world.texts["verifier"])
    with pytest.raises(Unavailable):
        verifier.file.count()


def test_a_file_removed_while_it_is_open_is_noticed(world: World, verifier: Verifier) -> None:
    """Open connections would read on from a file without a name; the watch ends that."""
    assert verifier.check(world.texts["good"], permission="charges:get").allowed
    verifier.file.watch()
    assert verifier.check(world.texts["good"], permission="charges:get").allowed
    remove(world)
    verifier.file.watch()
    verifier.file.watch()
    with pytest.raises(Unavailable):
        verifier.check(world.texts["good"], permission="charges:get")


def test_a_file_replaced_while_it_is_open_is_noticed(world: World, verifier: Verifier) -> None:
    """So does a file put in its place: decisions go by what is there now."""
    assert verifier.check(world.texts["good"], permission="charges:get").allowed
    other = sqlite3.connect(world.path.with_name("other.db"), isolation_level=None)
    for statement in ddl("sqlite"):
        other.execute(statement)
    other.close()
    remove(world)
    world.path.with_name("other.db").rename(world.path)
    verifier.file.watch()
    decision = verifier.check(world.texts["good"], permission="charges:get")
    assert decision.reason is Reason.token_invalid


def test_each_thread_reads_by_a_connection_of_its_own(world: World, clocks: Clocks) -> None:
    """Many threads on one verifier decide alike."""
    verifier = world.verifier(clocks.clock())
    wrong = []

    def ask(_: int) -> None:
        for _ in range(200):
            if not verifier.check(world.texts["good"], permission="charges:get").allowed:
                wrong.append("denied")
            if verifier.check(world.texts["deactivated"], permission="charges:get").allowed:
                wrong.append("allowed")
            verifier.file.shared.change_generation()

    concurrently(ask, range(4))
    assert not wrong


def test_rows_are_counted(world: World) -> None:
    """How many grants a file has, for those who ask."""
    assert GrantFile(world.path).count("holders") == 6


def test_there_are_no_tables_for_other_engines() -> None:
    """The definition is written for two engines, and for no third by accident."""
    assert len(ddl("sqlite")) == len(UPSERT) == 3
    assert len(ddl("postgresql")) == 3
    with pytest.raises(ValueError, match="mysql"):
        ddl("mysql")
