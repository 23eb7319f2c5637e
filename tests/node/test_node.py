"""A node on PostgreSQL: its copy of the grants."""

import fcntl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.node import copying
from gatepass.node.node import Node, open_node
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.settings import Settings
from gatepass.verify.replica.database_follower import Follower, NodeLock
from gatepass.verify.replica.grant_copy import open_copy
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.waiting import until


@pytest.fixture
def node(tmp_path: Path, postgresql_url: str) -> Iterator[Node]:
    """A node that isn't started."""
    settings = Settings(data_dir=tmp_path / "data", database_url=postgresql_url)
    node = open_node(settings, parse_catalogue(CATALOGUE))
    yield node
    node.stop()


def change(node: Node, name: str) -> bool:
    with node.database.write(node.clock.now()) as change:
        companies.create(change, Actor.command_line(), catalogue=node.catalogue, name=name)
    return change.confirmed


def stands(node: Node, name: str) -> bool:
    with node.database.read(node.clock.now()) as reading:
        return companies.by_name(reading, name) is not None


def test_a_change_is_unconfirmed_while_the_follower_hangs(node: Node) -> None:
    """The process that follows holds the lock and makes no progress."""
    stuck = NodeLock(node.file.lock_path)
    assert stuck.acquire()
    assert not change(node, "Analytical Engines")
    stuck.close()
    # Without a follower nothing decides, as for a command on a machine that serves nothing.
    assert change(node, "Difference Engines")
    assert stands(node, "Analytical Engines")
    assert stands(node, "Difference Engines")


def test_a_process_that_serves_confirms_nothing_while_the_lock_is_free(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that followed has just died; this one still decides by the copy it left."""
    monkeypatch.setattr("gatepass.node.copying.CONFIRM_SECONDS", 0.1)
    monkeypatch.setattr(node, "_take_duties", lambda: None)
    node.start()
    assert not change(node, "Analytical Engines")
    assert stands(node, "Analytical Engines")


def test_a_removed_copy_is_rebuilt(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the empty copy decides nothing. The follower stays, with its limits."""
    begun: list[Follower] = []

    def follower(*arguments: Any) -> Follower:
        begun.append(Follower(*arguments))
        return begun[-1]

    monkeypatch.setattr(copying, "Follower", follower)
    node.start()
    until(lambda: node.verifier.not_ready() is None)
    change(node, "Analytical Engines")
    before, rules = node.file.path.stat().st_ino, node.file.count("company_rules")
    assert rules == 1
    # The new file must not get the old inode number.
    kept = node.file.path.open("rb")
    for beside in ("", "-wal", "-shm"):
        node.file.path.with_name(node.file.path.name + beside).unlink()

    def replaced() -> bool:
        ready = node.verifier.fresh()
        try:
            whole = node.file.path.stat().st_ino != before and node.file.count("company_rules") == 1
        except (OSError, Unavailable):
            return False
        return ready and whole

    until(replaced)
    kept.close()
    change(node, "Difference Engines")
    assert node.file.count("company_rules") == 2
    assert len(begun) == 1


class Task:
    """A node's task that records how it is stopped."""

    def __init__(self, calls: list[tuple[str, bool]], name: str) -> None:
        self.calls, self.name = calls, name

    def stop(self, wait_s: float) -> None:
        self.calls.append((self.name, wait_s > 0))


def test_a_copy_that_is_being_written_opens(tmp_path: Path, postgresql_url: str) -> None:
    """A full snapshot is one transaction, which can take longer than SQLite waits for a lock."""
    settings = Settings(data_dir=tmp_path / "data", database_url=postgresql_url)
    node = open_node(settings, parse_catalogue(CATALOGUE))
    with closing(open_copy(node.file.path)) as follower:
        follower.execute("BEGIN IMMEDIATE")
        open_node(settings, parse_catalogue(CATALOGUE)).stop()
    node.stop()


def test_a_file_that_is_no_copy_is_named(tmp_path: Path, postgresql_url: str) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=postgresql_url)
    settings.data_dir.mkdir(mode=0o700)
    settings.grant_path.write_bytes(b"a disk's leftovers" * 1000)
    with pytest.raises(Misconfigured, match=r"grants\.db isn't a copy of grants .*: remove it"):
        open_node(settings, parse_catalogue(CATALOGUE))


def test_all_tasks_are_stopped_before_any_is_awaited(node: Node) -> None:
    """A task that waits for a blocked database must not delay the others."""
    calls: list[tuple[str, bool]] = []
    tasks: Any = [Task(calls, "first"), Task(calls, "second")]
    node._tasks += tasks
    node.stop()
    assert calls == [("first", False), ("second", False), ("first", True), ("second", True)]


def test_a_spool_is_folded_again_only_once_it_has_grown(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process has one, and most seconds add nothing to it."""
    writes = 0
    auxiliary_write = node.database.auxiliary_write

    def counted(now: int) -> Any:
        nonlocal writes
        writes += 1
        return auxiliary_write(now)

    monkeypatch.setattr(node.database, "auxiliary_write", counted)
    node.file.use_directory.mkdir(exist_ok=True)
    line = msgspec.json.encode({"tokens": {}, "decisions": {"allowed": 1}}) + b"\n"
    with (node.file.use_directory / "running.spool").open("wb", buffering=0) as spool:
        # Its process runs.
        fcntl.flock(spool, fcntl.LOCK_EX)
        for folded in (1, 2):
            spool.write(line)
            for _ in range(3):
                node.fold()
            assert writes == folded
    node.fold()
    assert not list(node.file.use_directory.glob("running.spool"))


def test_no_ending_of_tokens_waits_for_another(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that always fails must not keep stolen tokens working."""
    started: dict[str, object] = {}
    monkeypatch.setattr(
        installation.node, "_start", lambda name, work, **_: started.update({name: work})
    )
    monkeypatch.setattr(installation.node, "_start_task", lambda task: None)
    installation.node._take_duties()
    assert {"closing", "unused", "unapproved", "reuse"} <= started.keys()
