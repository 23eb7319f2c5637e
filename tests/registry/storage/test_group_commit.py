"""Changes that wait for the lock commit together; each succeeds or fails as if it were alone."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from math import inf
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert, text

from gatepass.core.errors import Forbidden, Unavailable
from gatepass.registry.actor import Actor
from gatepass.registry.directory import user_roles
from gatepass.registry.storage import group
from gatepass.registry.storage.database import Change, Database
from gatepass.registry.storage.ended_log import Revocation
from gatepass.registry.storage.tables import decision_counts
from gatepass.registry.tokens import access_tokens
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.waiting import until

Outcome = Any


class Commits:
    """Counts the commits of changes; what ``Database`` calls around them."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.count += 1
        yield


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine ends no group."""
    monkeypatch.setattr(group, "LONGEST_S", inf)


@pytest.fixture
def commits(database: Database, monkeypatch: pytest.MonkeyPatch) -> Commits:
    """The commits of ``database``."""
    commits = Commits()
    monkeypatch.setattr(database, "_writing", commits)
    return commits


def in_line(
    database: Database,
    calls: Sequence[Callable[[], Outcome]],
    outcomes: list[Future[Outcome]] | None = None,
    now: int = NOW,
) -> list[Outcome]:
    """Run *calls* in threads that wait, in this order, behind a change that does nothing.

    Args:
        outcomes: gets the outcome of each call, also if the change in front fails.

    Returns:
        What each returned or raised.
    """
    outcomes = [] if outcomes is None else outcomes
    with ThreadPoolExecutor(len(calls)) as pool, database.write(now):
        for number, call in enumerate(calls, start=1):
            outcomes.append(pool.submit(call))
            until(partial(_are_waiting, database, number))
    return [outcome.exception() or outcome.result() for outcome in outcomes]


def _are_waiting(database: Database, number: int) -> bool:
    return len(database._turns._waiting) == number


def add(database: Database, reason: str) -> int:
    """Add a row in a change; its revision."""
    with database.write(NOW) as change:
        change.session.execute(insert(decision_counts), {"reason": reason, "total": 1})
    return change.revision


def fail(database: Database, reason: str) -> None:
    """Add a row in a change that fails then."""
    with database.write(NOW) as change:
        change.session.execute(insert(decision_counts), {"reason": reason, "total": 1})
        raise Forbidden(reason)


def reasons(database: Database) -> set[str]:
    with database.read(NOW) as reading:
        return set(reading.session.scalars(text("SELECT reason FROM decision_counts")))


def history(database: Database) -> list[int]:
    """The revisions; the last is the current one, with its own tag."""
    with database.read(NOW) as reading:
        rows = reading.session.execute(text("SELECT number, tag FROM revisions ORDER BY 1")).all()
        assert reading.session.execute(text("SELECT number, tag FROM revision")).one() == rows[-1]
    assert len({tag for _, tag in rows}) == len(rows)
    return [number for number, _ in rows]


def test_changes_in_line_share_a_commit_and_have_revisions_of_their_own(
    database: Database, commits: Commits
) -> None:
    found = in_line(database, [lambda name=name: add(database, name) for name in "abcd"])
    assert found == [2, 3, 4, 5]
    assert commits.count == 1
    assert history(database) == [0, 1, 2, 3, 4, 5]
    assert reasons(database) == set("abcd")


@pytest.mark.parametrize("failing", ["a", "c", "d", "ab", "bd", "abcd"])
def test_a_change_that_fails_is_undone_alone(
    database: Database, commits: Commits, failing: str
) -> None:
    found = in_line(
        database,
        [lambda name=name: (fail if name in failing else add)(database, name) for name in "abcd"],
    )
    made = [name for name in "abcd" if name not in failing]
    assert [str(each) for each in found if isinstance(each, Forbidden)] == list(failing)
    assert [each for each in found if isinstance(each, int)] == list(range(2, 2 + len(made)))
    assert reasons(database) == set(made)
    assert history(database) == list(range(2 + len(made)))
    assert commits.count == 1


def test_if_the_first_fails_the_next_begins_its_own(database: Database) -> None:
    def first(change: Change) -> None:
        change.session.execute(insert(decision_counts), {"reason": "first", "total": 1})
        behind.append(pool.submit(add, database, "behind"))
        until(partial(_are_waiting, database, 1))
        raise Forbidden("first")

    behind: list[Future[int]] = []
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(Forbidden), database.write(NOW) as change:
            first(change)
        assert behind[0].result() == 1
    assert reasons(database) == {"behind"}


@pytest.mark.parametrize("seed", range(6))
def test_concurrent_changes_equal_those_in_the_order_of_their_revisions(
    database: Database, seed: int
) -> None:
    """Each reads what it changes: one built on an outdated read would show."""
    random = Random(seed)
    steps = [(random.choice(["add", "double", "fail"]), random.randrange(9)) for _ in range(24)]

    def change(kind: str, number: int) -> tuple[int, str, int]:
        with database.write(NOW) as change:
            total = change.session.scalar(text("SELECT total FROM decision_counts")) or 0
            total = total + number if kind == "add" else total * 2 % 10_007
            change.session.execute(text("DELETE FROM decision_counts"))
            change.session.execute(insert(decision_counts), {"reason": "sum", "total": total})
            if kind == "fail":
                raise Forbidden("fail")
        return change.revision, kind, number

    done = concurrently(change, *zip(*steps, strict=True))
    made = sorted(each for each in done if each != "permission_missing")
    assert len(done) - len(made) == sum(kind == "fail" for kind, _ in steps)
    expected = 0
    for _, kind, number in made:
        expected = expected + number if kind == "add" else expected * 2 % 10_007
    with database.read(NOW) as reading:
        assert (reading.session.scalar(text("SELECT total FROM decision_counts")) or 0) == expected
    assert [revision for revision, _, _ in made] == history(database)[1:]


def test_an_actor_who_lost_a_permission_in_the_same_group_is_refused(
    registry: SmallRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = registry.signed_in(registry.ada), registry.colleague("manager")
    commits = Commits()
    monkeypatch.setattr(registry.database, "_writing", commits)
    found = in_line(
        registry.database,
        [
            lambda: registry.token(bob, label="before"),
            lambda: registry.do(user_roles.change_role, ada, str(bob.user), role="reporting"),
            lambda: registry.token(bob, label="after"),
            lambda: registry.token(ada, label="another's"),
        ],
    )
    assert commits.count == 1
    assert isinstance(found[2], Forbidden)
    created = [
        event.after["label"]
        for event in registry.events()
        if event.action == "access_token.created" and event.after is not None
    ]
    assert created == ["before", "another's"]
    before, after = found[0], found[3]
    assert registry.reason(before[1]) == "permission_missing"
    assert registry.reason(after[1]) == "allowed"


def test_a_deactivation_does_not_wait_for_those_behind_it(
    registry: SmallRegistry, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed and in ``ended.log`` before the next change begins."""
    database = registry.database
    token, _ = registry.token(ada)
    commits, counted = Commits(), []
    monkeypatch.setattr(database, "_writing", commits)

    def behind() -> None:
        with database.write(NOW):
            counted.append(commits.count)

    in_line(database, [lambda: registry.do(access_tokens.deactivate, ada, token.id), behind])
    assert counted == [1]
    assert commits.count == 2


def test_only_the_change_that_revokes_reports_its_revocations(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada)
    noted: list[Revocation] = []
    database = registry.database
    database._revoked = noted.extend
    in_line(
        database,
        [
            lambda: registry.token(ada),
            lambda: registry.do(access_tokens.deactivate, ada, token.id),
            lambda: registry.token(ada),
        ],
    )
    assert [(each.id, each.revision) for each in noted] == [(token.id, registry.revision() - 1)]


def test_a_group_ends_with_its_greatest_number_of_changes(
    database: Database, commits: Commits
) -> None:
    in_line(database, [lambda: add_nothing(database)] * group.MOST_CHANGES)
    assert commits.count == 2
    assert history(database) == list(range(group.MOST_CHANGES + 2))


def test_a_group_ends_after_its_longest_time(
    database: Database, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "LONGEST_S", 0.0)
    in_line(database, [lambda: add_nothing(database)] * 3)
    assert commits.count == 4
    assert history(database) == [0, 1, 2, 3, 4]


def add_nothing(database: Database) -> None:
    with database.write(NOW):
        pass


def test_an_auxiliary_write_has_a_transaction_of_its_own(
    database: Database, commits: Commits
) -> None:
    """It isn't undone with a change, and doesn't wait on PostgreSQL."""
    if database.dialect == "postgresql":
        with database.write(NOW), database.auxiliary_write(NOW):
            assert commits.count == 0
        return

    def auxiliary() -> int:
        with database.auxiliary_write(NOW) as write:
            write.session.execute(insert(decision_counts), {"reason": "use", "total": 1})
            return commits.count

    assert in_line(database, [auxiliary, lambda: add(database, "behind")]) == [1, 2]


def lose(database: Database) -> None:
    """A change whose connection is lost, or that SQLite rolls back as on a full disk."""
    with database.write(NOW) as change:
        if database.dialect == "sqlite":
            change.session.connection().exec_driver_sql("ROLLBACK")
            raise OSError("full")
        change.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def test_if_the_transaction_is_lost_so_are_its_changes_and_the_next_begins_another(
    database: Database,
) -> None:
    with pytest.raises(Unavailable) as first:
        in_line(
            database,
            [
                lambda: add(database, "lost"),
                lambda: lose(database),
                lambda: add(database, "kept"),
            ],
            outcomes := [],
        )
    lost, loser, kept = (each.exception() or each.result() for each in outcomes)
    assert (first.value.reason, lost.reason) == ("unavailable", "unavailable")
    assert isinstance(loser, OSError if database.dialect == "sqlite" else Unavailable)
    assert kept == 1
    assert reasons(database) == {"kept"}
    assert history(database) == [0, 1]


def test_every_change_of_a_group_is_confirmed_by_its_own_revision(database: Database) -> None:
    asked: list[int] = []

    def confirm(revision: int) -> bool:
        asked.append(revision)
        return revision != 3

    database._confirm = confirm

    def confirmed() -> bool:
        with database.write(NOW) as change:
            pass
        return change.confirmed

    assert in_line(database, [confirmed] * 3) == [True, False, True]
    assert sorted(asked) == [1, 2, 3, 4]


@pytest.mark.parametrize("apart_ms", [-7_000, 7_000])
def test_a_wrong_time_is_refused_in_a_group_too(postgresql_url: str, apart_ms: int) -> None:
    database = Database(postgresql_url, tolerance_ms=5_000)

    def change(by: int) -> int:
        with database.write(time.time_ns() // 1_000_000 + by) as change:
            pass
        return change.revision

    calls = [lambda: change(0), lambda: change(apart_ms), lambda: change(0)]
    wrong = in_line(database, calls, now=time.time_ns() // 1_000_000)
    assert (wrong[0], wrong[1].reason, wrong[2]) == (2, "unavailable", 3)
    database.close()


@pytest.mark.processes
def test_a_killed_process_leaves_whole_changes_and_all_that_were_acknowledged(
    database_url: str,
) -> None:
    program = (
        "import sys, threading\n"
        "from sqlalchemy import insert\n"
        "from gatepass.registry.storage.database import Database\n"
        "from gatepass.registry.storage.tables import decision_counts\n"
        "database = Database(sys.argv[1])\n"
        "def work(thread):\n"
        "    for number in range(100000):\n"
        "        with database.write(number) as change:\n"
        "            for half in 'ab':\n"
        "                row = {'reason': f'{thread}.{number}{half}', 'total': 1}\n"
        "                change.session.execute(insert(decision_counts), row)\n"
        "        sys.stdout.write(f'{thread}.{number}\\n')\n"
        "        sys.stdout.flush()\n"
        "for thread in range(6):\n"
        "    threading.Thread(target=work, args=(thread,)).start()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, database_url], stdout=subprocess.PIPE)
    assert child.stdout is not None
    acknowledged = {child.stdout.readline() for _ in range(60)}
    child.kill()
    acknowledged.update(child.stdout.read().splitlines(keepends=True))
    child.wait()
    names = {line.decode().strip() for line in acknowledged if line.endswith(b"\n")}
    database = Database(database_url)
    kept = {name[:-1] for name in reasons(database)}
    assert reasons(database) == {name + half for name in kept for half in "ab"}
    assert names <= kept
    assert history(database) == list(range(len(kept) + 1))
    database.close()


def test_a_thread_that_waits_in_vain_leaves_the_line(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepass.registry.storage.database.BUSY_TIMEOUT_MS", 50)
    refused = threading.Event()

    def wait() -> None:
        with pytest.raises(Unavailable), database.write(NOW):
            pass
        refused.set()

    with ThreadPoolExecutor(1) as pool:
        with database.write(NOW):
            waiting = pool.submit(wait)
            assert refused.wait(30)
        waiting.result()
    assert add(database, "afterwards") == 2
