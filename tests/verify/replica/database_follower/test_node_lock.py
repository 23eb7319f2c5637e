"""The lock by which one process of a node follows."""

import os
import signal
from pathlib import Path

import pytest

from gatepass.verify.replica.database_follower import NodeLock
from tests.support.processes.children import killed_in_the_end


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


def test_closing_it_twice_closes_no_other_file(tmp_path: Path) -> None:
    lock = NodeLock(tmp_path / "grants.db-lock")
    lock.close()
    with (tmp_path / "other").open("wb") as other:
        lock.close()
        other.write(b"still open")
