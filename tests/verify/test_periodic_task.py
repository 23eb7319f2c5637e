"""A periodic task runs until it is stopped, whatever a run does."""

import logging
import threading
from collections.abc import Callable

import pytest

from gatepass.verify.periodic_task import PeriodicTask
from tests.support.waiting import LIMIT_S

LOG = logging.getLogger("gatepass.test")
LONG = 3_600.0


def task(work: Callable[[], object], interval_s: float = 0.0, first_s: float = 0.0) -> PeriodicTask:
    return PeriodicTask(
        "test", work, interval_s, first_s=first_s, log=LOG, failure="testing failed"
    )


def test_it_runs_until_it_is_stopped() -> None:
    runs = threading.Semaphore(0)
    ours = task(runs.release)
    ours.start()
    for _ in range(3):
        assert runs.acquire(timeout=LIMIT_S)
    ours.stop()
    assert not any(each.name == "gatepass_test" for each in threading.enumerate())
    ours.stop()


def test_a_run_that_fails_is_logged_once_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    """By the type of the exception alone: its text may quote a secret."""
    runs = threading.Semaphore(0)

    def work() -> None:
        runs.release()
        raise ConnectionError("hunter2")

    ours = task(work)
    ours.start()
    for _ in range(3):
        assert runs.acquire(timeout=LIMIT_S)
    ours.stop()
    assert [each.getMessage() for each in caplog.records] == ["testing failed: ConnectionError"]


def test_the_pauses_after_failures_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = task(lambda: failures.pop()(), interval_s=0.25)
    failures: list[Callable[[], object]] = []
    pauses: list[float] = []

    def fail() -> None:
        raise ConnectionError

    def stopped_during(pause_s: float) -> bool:
        pauses.append(pause_s)
        return not failures

    monkeypatch.setattr(ours, "_stopped_during", stopped_during)
    failures.extend([fail, lambda: None, *[fail] * 5])
    ours._run()
    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, 2.0, 0.25, 0.25]


def test_each_kind_of_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    runs = threading.Semaphore(0)
    errors: list[Exception] = [ConnectionError(), TimeoutError(), ConnectionError()]

    def work() -> None:
        runs.release()
        if errors:
            raise errors.pop()

    ours = task(work)
    ours.start()
    for _ in range(4):
        assert runs.acquire(timeout=LIMIT_S)
    ours.stop()
    assert [each.getMessage() for each in caplog.records] == [
        "testing failed: ConnectionError",
        "testing failed: TimeoutError",
    ]


def test_the_first_run_waits_unless_the_task_is_woken() -> None:
    run = threading.Event()
    ours = task(run.set, LONG, first_s=LONG)
    ours.start()
    assert not run.wait(0.05)
    ours.wake()
    assert run.wait(LIMIT_S)
    ours.stop()


def test_a_run_can_stop_its_own_task() -> None:
    runs = threading.Semaphore(0)

    def work() -> None:
        ours.stop()
        runs.release()

    ours = task(work)
    ours.start()
    assert runs.acquire(timeout=LIMIT_S)
    assert not runs.acquire(timeout=0.05)


def test_a_task_that_was_never_started_can_be_stopped() -> None:
    task(lambda: None).stop()
