"""No SQLite connection crosses a fork."""

import os
import sqlite3
import threading
from operator import ne
from pathlib import Path

import pytest

from gatepass.verify.grant_file import UPSERT, GrantFile, ddl
from tests.support.processes.children import finished, in_child
from tests.support.waiting import until


def write(path: Path, record: bytes) -> sqlite3.Connection:
    """Commit as the only writer there is would; its connection."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(UPSERT["grants"], {"id": "a", "record": record, "revision": 1})
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "grants.db"
    connection = sqlite3.connect(path)
    for statement in ddl("sqlite"):
        connection.execute(statement)
    connection.close()
    write(path, b"first").close()
    return path


def test_a_child_whose_parent_ended_reads_what_is_committed_later(path: Path) -> None:
    """A child that relied on its parent's locks would read a log that others have removed, and
    allow a deactivated token for ever."""
    for_child, to_child = os.pipe()
    from_child, for_us = os.pipe()

    def parent() -> None:
        file = GrantFile(path)
        assert file.record("grants", "a") == b"first"

        def child() -> None:
            file.record("grants", "a")
            os.write(for_us, b".")
            for _ in range(2):
                os.read(for_child, 1)
                os.write(for_us, file.record("grants", "a") or b"nothing")

        in_child(child)

    assert finished(in_child(parent))
    os.read(from_child, 1)
    # Each time the last connection that holds a lock, so that the log is put away.
    for record in (b"second", b"third"):
        write(path, b"between").close()
        writing = write(path, record)
        os.write(to_child, b".")
        assert os.read(from_child, 10) == record
        writing.close()


@pytest.mark.slow
def test_threads_read_on_while_others_fork(path: Path) -> None:
    """Each has its own connection, which a fork closes and the thread opens again."""
    file = GrantFile(path)
    running = True
    read = [0, 0]
    wrong: list[object] = []

    def reading(number: int) -> None:
        while running:
            try:
                assert file.record("grants", "a") == b"first"
                read[number] += 1
            except BaseException as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=reading, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        before = list(read)
        assert finished(in_child(lambda: file.record("grants", "a") == b"first" or os._exit(2)))
        until(lambda then=before: all(map(ne, read, then)))
    running = False
    for thread in threads:
        thread.join()
    assert not wrong
