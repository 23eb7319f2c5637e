"""Two real processes on one grant file: what one has committed, the other decides by."""

import mmap
import os
import signal
import sqlite3
import time

import msgspec
import pytest

from gatepass.core.decision import Reason
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.children import finished, in_child, killed_in_the_end

ROUNDS = 3_000


def test_a_deactivation_committed_in_one_is_refused_by_the_next_call_in_the_other(
    samples: Samples,
) -> None:
    """Thousands of times over: committed there, refused here by the very next call; and allowed
    again by the next call once it is put back."""
    ask_read, ask_write = os.pipe()
    done_read, done_write = os.pipe()

    def write() -> None:
        mine = samples.in_this_process()
        for number in range(2 * ROUNDS):
            os.read(ask_read, 1)
            mine.change("good", deactivated=number % 2 == 0)
            os.write(done_write, b"x")

    verifier = samples.verifier()
    child = in_child(write)
    text = samples.texts["good"]
    try:
        for _ in range(ROUNDS):
            for expected in (Reason.token_deactivated, Reason.allowed):
                os.write(ask_write, b"x")
                os.read(done_read, 1)
                assert verifier.check(text, permission="charges:get").reason is expected
    finally:
        os.close(ask_write)
        succeeded = finished(child)
        for descriptor in (ask_read, done_read, done_write):
            os.close(descriptor)
    assert succeeded


def test_a_reader_that_never_rests_is_never_behind(samples: Samples) -> None:
    """While one process deactivates and restores with hardly a pause, whatever another decides
    between two changes is decided by the state then."""
    seen = mmap.mmap(-1, 16)
    begun, ended = memoryview(seen)[:8].cast("Q"), memoryview(seen)[8:].cast("Q")

    def write() -> None:
        mine = samples.in_this_process()
        for number in range(1, ROUNDS + 1):
            begun[0] = number
            mine.change("good", deactivated=number % 2 == 1)
            ended[0] = number
            time.sleep(number % 7 / 20_000)

    verifier = samples.verifier()
    text = samples.texts["good"]
    child = in_child(write)
    compared = 0
    while ended[0] < ROUNDS:
        at = ended[0]
        allowed = verifier.check(text, permission="charges:get").allowed
        if begun[0] == at:
            compared += 1
            assert allowed == (at % 2 == 0), f"after change {at}"
    assert finished(child)
    assert compared > ROUNDS / 10


def test_a_child_after_a_fork_decides_by_a_connection_of_its_own(samples: Samples) -> None:
    """A SQLite connection must not cross a fork: it is closed before, and each opens another."""
    verifier = samples.verifier()
    text = samples.texts["good"]
    assert verifier.check(text, permission="charges:get").allowed
    before = verifier.file._local.reader.cursor
    samples.file.shared.change_generation()

    def decide() -> None:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            before.execute("SELECT 1")
        assert verifier.check(text, permission="charges:get").allowed

    assert finished(in_child(decide))
    assert verifier.file._local.reader.cursor is None
    samples.change("good", deactivated=True)
    assert verifier.check(text, permission="charges:get").reason is Reason.token_deactivated


def test_a_child_that_forks_and_dies_leaves_the_parent_deciding(samples: Samples) -> None:
    """Whatever becomes of children, the parent's connection reads on, and pins nothing."""
    verifier = samples.verifier()
    text = samples.texts["good"]

    def decide_and_wait() -> None:
        verifier.check(text, permission="charges:get")
        signal.pause()

    for how in (signal.SIGKILL, signal.SIGTERM):
        assert verifier.check(text, permission="charges:get").allowed
        with killed_in_the_end(
            lambda: (verifier.check(text, permission="charges:get"), signal.pause()), how
        ):
            assert verifier.check(text, permission="charges:get").allowed
        samples.file.shared.change_generation()
    assert verifier.check(text, permission="charges:get").allowed
    assert samples.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


@pytest.mark.slow
def test_a_writer_killed_anywhere_leaves_no_old_decision(samples: Samples) -> None:
    """kill -9 in the midst of committing, over and over: what is decided a moment later is what
    the file holds, and the file can be written."""
    text = samples.texts["good"]

    def restless() -> None:
        mine = samples.in_this_process()
        for number in range(1_000_000):
            mine.change("good", deactivated=number % 2 == 0)
            # Fifty thousand commits a second leave a reader no moment in between.
            time.sleep(0.000_1)

    for number in range(15):
        verifier = samples.verifier()
        with killed_in_the_end(restless):
            for _ in range(30 + 7 * number):
                verifier.check(text, permission="charges:get")
        samples.put(samples.grants["login"])
        held = samples.connection.execute(
            "SELECT record FROM grants WHERE id = ?", (samples.grants["good"].id,)
        ).fetchone()[0]
        deactivated = msgspec.msgpack.decode(held)[-1]
        assert verifier.check(text, permission="charges:get").allowed is not deactivated
