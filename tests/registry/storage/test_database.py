"""Transactions: ordered, atomic, and blocking each other only briefly."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from sqlalchemy import Engine, event, insert, text
from sqlalchemy.exc import IntegrityError

from gatepass.core.errors import Conflict, Unavailable
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.directory.users import create
from gatepass.registry.storage.database import Change, Database, Reading, Write
from gatepass.registry.storage.ended_log import Revocation
from gatepass.registry.storage.engines import BEGIN_WRITE
from gatepass.registry.storage.group import CHANGED_CHANNEL
from gatepass.registry.storage.silent_server import ResponseTimeoutConnection
from gatepass.registry.storage.tables import decision_counts
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.records import etag
from tests.support.database.postgresql import Cluster
from tests.support.database.small_registry import HASH, NOW, SmallRegistry, nothing_changes
from tests.support.waiting import LIMIT_S


def test_revisions_are_without_gaps_and_commit_in_order(database: Database) -> None:
    """A reader that sees a revision sees all earlier ones: a follower at 7 never misses 6."""
    gaps: list[list[int]] = []
    running = True

    def change(number: int) -> int:
        with database.write(NOW) as change:
            # Nothing else was read or written before the revision was taken.
            time.sleep(0.002)
            change.session.execute(insert(decision_counts), {"reason": f"r{number}", "total": 1})
            revision = change.revision
        return revision

    def watch() -> None:
        while running:
            with database.read(NOW) as reading:
                seen = reading.session.scalars(
                    text("SELECT number FROM revisions ORDER BY 1")
                ).all()
                last = reading.session.scalar(text("SELECT number FROM revision"))
                rows = reading.session.scalar(text("SELECT count(*) FROM decision_counts"))
            if list(seen) != list(range(len(seen))) or last != seen[-1] or rows != last:
                gaps.append([*seen, -1, last or 0, rows or 0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        revisions = list(pool.map(change, range(40)))
    running = False
    watcher.join()
    assert sorted(revisions) == list(range(1, 41))
    assert gaps == []


def test_every_revision_has_a_random_tag_that_is_stored(database: Database) -> None:
    for _ in range(3):
        with database.write(NOW):
            pass
    with database.read(NOW) as reading:
        history = reading.session.execute(text("SELECT number, tag, at FROM revisions")).all()
        current = reading.session.execute(text("SELECT number, tag FROM revision")).one()
    assert sorted(number for number, _, _ in history) == [0, 1, 2, 3]
    assert len({tag for _, tag, _ in history}) == 4
    assert tuple(current) in [(number, tag) for number, tag, _ in history]


def test_a_change_is_atomic(registry: SmallRegistry, ada: Actor) -> None:

    class Lightning(Exception):
        pass

    def struck(change: Change) -> None:
        create(
            change,
            ada,
            company=registry.northwind.id,
            email="new@northwind.example",
            name="New",
            role="reporting",
            password_hash=HASH,
        )
        raise Lightning

    with nothing_changes(registry), pytest.raises(Lightning), registry.write() as change:
        struck(change)
    before = registry.revision()
    with registry.write():
        pass
    assert registry.revision() == before + 1


def test_a_failed_commit_changes_nothing(database_url: str) -> None:
    """The generation changes around the commit; a failed commit leaves no partial change."""

    @contextmanager
    def no_disk() -> Iterator[None]:
        raise OSError("no space left on device")
        yield

    database = Database(database_url, writing=no_disk)
    with pytest.raises(OSError, match="no space"), database.write(NOW):
        pass
    with database.read(NOW) as reading:
        assert reading.session.scalar(text("SELECT number FROM revision")) == 0
    database.close()


def test_the_commit_is_within_writing_and_before_confirm(database_url: str) -> None:
    log: list[object] = []
    other = Database(database_url)

    def committed() -> int | None:
        with other.read(NOW) as reading:
            return reading.session.scalar(text("SELECT number FROM revision"))

    @contextmanager
    def writing() -> Iterator[None]:
        log.append(("before", committed()))
        yield
        log.append(("after", committed()))

    def confirm(revision: int) -> bool:
        log.append(("confirmed", revision, committed()))
        return False

    database = Database(database_url, writing=writing, confirm=confirm)
    with database.write(NOW) as change:
        log.append(("within", change.revision))
    assert not change.confirmed
    assert log == [("within", 1), ("before", 0), ("after", 1), ("confirmed", 1, 1)]
    database.close()
    other.close()


def test_each_kind_of_transaction_has_only_its_own_attributes(database: Database) -> None:
    """An operation names the transaction that it needs by its first parameter's type."""
    with database.read(NOW) as reading:
        assert reading.session.scalar(text("SELECT number FROM revision")) == 0
    with database.auxiliary_write(NOW + 1) as write:
        write.session.execute(insert(decision_counts), {"reason": "allowed", "total": 1})
    with database.write(NOW + 2) as change:
        change.session.execute(text("DELETE FROM decision_counts"))
        assert (change.revision, change.revocations, change.confirmed) == (1, [], False)
    assert change.confirmed
    assert [reading.now, write.now, change.now] == [NOW, NOW + 1, NOW + 2]
    assert isinstance(change, Write)
    assert isinstance(write, Reading)
    assert not isinstance(write, Change)
    assert not isinstance(reading, Write)
    for other in (reading, write):
        for name in ("revision", "end", "revocations", "confirmed"):
            assert not hasattr(other, name)


def test_revocations_are_reported_with_their_revision_after_the_commit(
    database_url: str,
) -> None:
    noted: list[Revocation] = []
    database = Database(database_url, revoked=noted.extend)
    subjects = [Subject("access_token", "gpat_1", "one"), Subject("user", "usr_1", "Ada")]

    def struck(change: Change) -> None:
        change.end(subjects, by=Actor.command_line())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), database.write(NOW) as change:
        struck(change)
    assert noted == []
    with database.write(NOW) as change:
        change.end(subjects[:1], by=Actor.command_line())
        change.end(subjects[1:], by=Actor.system())
        assert noted == []
    assert [(each.kind, each.id, each.revision, each.at) for each in noted] == [
        ("access_token", "gpat_1", 1, NOW),
        ("user", "usr_1", 1, NOW),
    ]
    database.close()


def test_a_reading_is_one_snapshot(registry: SmallRegistry) -> None:
    with registry.read() as reading:
        before = reading.session.scalar(text("SELECT count(*) FROM companies"))
        registry.company("Fabrikam")
        assert reading.session.scalar(text("SELECT count(*) FROM companies")) == before
        assert (
            reading.session.scalar(text("SELECT number FROM revision")) == registry.revision() - 1
        )


def test_an_auxiliary_write_takes_no_revision(registry: SmallRegistry) -> None:
    before = registry.revision()
    with registry.database.auxiliary_write(NOW) as write:
        write.session.execute(insert(decision_counts), {"reason": "allowed", "total": 1})
    assert registry.revision() == before


def test_on_postgresql_an_auxiliary_write_does_not_wait_for_a_write(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    # If it waited, it would be told "unavailable" when the lock's timeout is over.
    with database.write(NOW), database.auxiliary_write(NOW) as write:
        write.session.execute(insert(decision_counts), {"reason": "allowed", "total": 1})
    database.close()


def test_one_of_fifty_concurrent_requests_gets_the_address(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    emails = ["Grace@Northwind.example", "grace@northwind.EXAMPLE"] * 25

    def attempt(email: str) -> str:
        try:
            registry.do(
                create,
                ada,
                company=registry.northwind.id,
                email=email,
                name="Grace",
                role="reporting",
                password_hash=HASH,
            )
        except Conflict as conflict:
            return conflict.reason
        return "made"

    outcomes = _at_once(10, attempt, emails)
    assert sorted(outcomes) == ["email_taken"] * 49 + ["made"]


def test_one_of_many_concurrent_edits_of_one_version_succeeds(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada)

    def attempt(label: str) -> str:
        try:
            changed = registry.modify(ada, token, if_match=[etag(token)], label=label)
        except Conflict as conflict:
            return conflict.reason
        return str(changed.label)

    outcomes = _at_once(8, attempt, [f"L{n}" for n in range(16)])
    outcomes.remove(registry.get(token).label)
    assert outcomes == ["changed_meanwhile"] * 15


def test_sqlite_writers_behind_a_frozen_one_get_unavailable(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gatepass.registry.storage.engines._SQLITE_SETTINGS", ("PRAGMA busy_timeout = 500",)
    )
    frozen, other = Database(sqlite_url), Database(sqlite_url)
    with frozen.write(NOW), pytest.raises(Unavailable) as refusal, other.write(NOW):
        pass
    assert refusal.value.reason == "unavailable"
    with other.write(NOW) as change:
        assert change.revision == 2
    frozen.close()
    other.close()


def test_threads_of_one_process_never_get_sqlite_busy(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gatepass.registry.storage.engines._SQLITE_SETTINGS", ("PRAGMA busy_timeout = 0",)
    )
    database = Database(sqlite_url)

    def change(_: int) -> None:
        with database.write(NOW):
            time.sleep(0.001)
        with database.auxiliary_write(NOW) as write:
            write.session.execute(text("DELETE FROM decision_counts"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(40)))
    with database.read(NOW) as reading:
        assert reading.session.scalar(text("SELECT number FROM revision")) == 40
    database.close()


def test_postgresql_writers_behind_a_stuck_one_get_unavailable(postgresql_url: str) -> None:
    stuck, other = Database(postgresql_url), Database(postgresql_url)
    taken = threading.Event()

    def work() -> None:
        with stuck.write(NOW) as change:
            taken.set()
            change.session.execute(text("SELECT pg_sleep(2.5)"))

    thread = threading.Thread(target=work)
    thread.start()
    taken.wait()
    with pytest.raises(Unavailable) as refusal, other.write(NOW):
        pass
    thread.join()
    assert refusal.value.reason == "unavailable"
    with other.write(NOW) as change:
        assert change.revision == 2
    stuck.close()
    other.close()


@pytest.mark.usefixtures("idle_limit")
def test_postgresql_terminates_a_frozen_writer(postgresql_url: str) -> None:
    """It may never resume; the next writer gets the revision."""
    frozen, other = Database(postgresql_url), Database(postgresql_url)

    def freeze() -> None:
        with frozen.write(NOW) as change:
            change.session.execute(insert(decision_counts), {"reason": "allowed", "total": 1})
            time.sleep(2.3)
            change.session.execute(text("SELECT 1"))

    with pytest.raises(Unavailable):
        freeze()
    with other.write(NOW) as change:
        assert change.revision == 1
        assert change.session.scalar(text("SELECT count(*) FROM decision_counts")) == 0
    frozen.close()
    other.close()


def test_a_frozen_postgresql_is_unavailable_and_executes_nothing_later(
    postgresql: Cluster, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel goes on acknowledging, so no timeout of the network's ends the wait, and its own
    limits are frozen with it."""
    monkeypatch.setattr(ResponseTimeoutConnection, "response_timeout_s", 0.5)
    registry = SmallRegistry(Database(postgresql_url))
    ada = registry.signed_in(registry.ada)
    events = len(registry.events())

    def change_while_it_freezes() -> None:
        with ExitStack() as frozen, registry.write() as change:
            for pid in postgresql.processes():
                os.kill(pid, signal.SIGSTOP)
                frozen.callback(os.kill, pid, signal.SIGCONT)
            access_tokens.create(
                change,
                ada,
                catalogue=registry.catalogue,
                label="late",
                kind="api",
                permissions=["charges:get"],
            )

    with pytest.raises(Unavailable, match="can't be used right now"):
        change_while_it_freezes()
    # The interrupted transaction left nothing, and the next one works.
    assert len(registry.events()) == events
    registry.token(ada, label="in time")
    registry.database.close()


@pytest.mark.usefixtures("idle_limit")
def test_postgresql_transactions_have_the_required_settings(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.write(NOW) as change:
        settings = {
            name: change.session.scalar(text(f"SHOW {name}"))
            for name in (
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "synchronous_commit",
                "transaction_isolation",
            )
        }
        parameters = change.session.connection().connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr] # psycopg's own
    assert settings["lock_timeout"] == "2s"
    assert settings["idle_in_transaction_session_timeout"] == "2s"
    assert settings["synchronous_commit"] == "on"
    assert settings["transaction_isolation"] == "read committed"
    assert parameters["tcp_user_timeout"] == "5000"
    assert parameters["target_session_attrs"] == "read-write"
    database.close()


def test_sqlite_connections_have_the_required_settings(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.read(NOW) as reading:
        settings = {
            name: reading.session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5_000,
    }
    database.close()


def test_a_write_notifies_followers_when_it_commits(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with psycopg.connect(postgresql_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANGED_CHANNEL}")
        with database.write(NOW):
            assert list(listener.notifies(timeout=0.1, stop_after=1)) == []
        assert len(list(listener.notifies(timeout=LIMIT_S, stop_after=1))) == 1
    database.close()


def test_several_hosts_are_tried_in_turn(postgresql_url: str) -> None:
    host, port = postgresql_url.rpartition("@")[2].partition("/")[0].split(":")
    url = postgresql_url.replace(f"{host}:{port}", f"{host}:1,{host}:{port}")
    database = Database(url)
    with database.write(NOW) as change:
        assert change.revision == 1
    database.close()


def test_an_unreachable_database_is_unavailable() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/none")
    for transaction in (database.read, database.write, database.auxiliary_write):
        with pytest.raises(Unavailable) as refusal, transaction(NOW) as opened:
            opened.session.execute(text("SELECT 1"))
        assert refusal.value.reason == "unavailable"
        assert "127.0.0.1" not in str(refusal.value)


def test_errors_do_not_contain_parameters(database: Database) -> None:
    twice = [{"reason": "hush-hush", "total": 654321}] * 2
    with pytest.raises(IntegrityError) as refusal, database.auxiliary_write(NOW) as write:
        write.session.execute(insert(decision_counts), twice)
    assert "654321" not in str(refusal.value)


@pytest.mark.processes
def test_acknowledged_writes_survive_a_killed_process(database_url: str) -> None:
    """A killed process leaves complete writes, in order."""
    program = (
        "import sys\n"
        "from sqlalchemy import insert\n"
        "from gatepass.registry.storage.database import Database\n"
        "from gatepass.registry.storage.tables import decision_counts\n"
        "database = Database(sys.argv[1])\n"
        "for number in range(100000):\n"
        "    with database.write(number) as change:\n"
        "        for half in 'ab':\n"
        "            row = {'reason': f'{number}{half}', 'total': 1}\n"
        "            change.session.execute(insert(decision_counts), row)\n"
        "    print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, database_url], stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(20)]
    child.kill()
    acknowledged += [int(line) for line in child.stdout.read().splitlines() if line]
    child.wait()
    database = Database(database_url)
    with database.read(NOW) as reading:
        rows = set(reading.session.scalars(text("SELECT reason FROM decision_counts")))
        revision = reading.session.scalar(text("SELECT number FROM revision"))
    assert revision in (len(acknowledged), len(acknowledged) + 1)
    assert rows == {f"{number}{half}" for number in range(revision) for half in "ab"}
    database.close()


def test_a_forked_child_opens_connections_of_its_own(database: Database) -> None:
    def connection() -> object:
        with database.write(NOW) as change:
            return change.session.connection().connection.dbapi_connection

    inherited = connection()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if connection() is not inherited else 2)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert connection() is inherited


@pytest.mark.usefixtures("idle_limit")
def test_the_first_statement_takes_the_revision(database: Database) -> None:
    statements: list[str] = []

    def listen(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        with database.write(NOW) as change:
            change.session.execute(text("SELECT 1"))
        with database.auxiliary_write(NOW) as write:
            write.session.execute(text("SELECT 2"))
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
    begin = ["BEGIN IMMEDIATE" if database.dialect == "sqlite" else BEGIN_WRITE]
    taken = statements.index("SELECT 1")
    assert statements[:taken] == [*begin, statements[taken - 1]]
    assert statements[taken - 1].startswith("UPDATE revision SET number = number + 1")
    assert statements[taken - 1].partition("RETURNING number, ")[2]
    assert [*begin, "SELECT 2"] == statements[-2:]


def _at_once(threads: int, attempt: Callable[[str], str], values: list[str]) -> list[str]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(attempt, values))


def test_an_actor_needs_its_company() -> None:
    with pytest.raises(ValueError, match="company"):
        Actor("user", None, "usr_1", "Ada", frozenset(), "gplt_1")
    with pytest.raises(ValueError, match="credential"):
        Actor("token", "com_1", "usr_1", "Ada", frozenset())


@pytest.mark.parametrize("apart_s", [14_400, 6, -7, -14_400])
def test_a_node_with_a_wrong_clock_can_write_nothing(postgresql_url: str, apart_s: int) -> None:
    """A sign-in of three hours must not last seven because this node is four hours ahead."""
    database = Database(postgresql_url, tolerance_ms=5_000)
    with pytest.raises(Unavailable) as refusal, database.write(_wall_ms() + apart_s * 1_000):
        pass
    assert refusal.value.reason == "unavailable"
    for borne_s in (4, -4):
        with database.write(_wall_ms() + borne_s * 1_000):
            pass
    with database.read(NOW) as reading:
        assert reading.session.scalar(text("SELECT number FROM revision")) == 2
    database.close()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
