"""The clock that decisions use never goes back."""

import logging
import time
from pathlib import Path

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Misconfigured
from gatepass.verify.clock import Clock
from tests.support.grants.grant_fixtures import START_MS, Clocks, Samples, make_map

HOUR_MS = 3_600_000


def test_now_is_the_wall_clock_at_the_start(clocks: Clocks) -> None:
    """Unix milliseconds."""
    assert clocks.clock().now() == START_MS


def test_now_is_carried_on_by_the_boot_clock(clocks: Clocks) -> None:
    """Nobody can set that one."""
    clock = clocks.clock()
    clocks.boot_ns += 1_500_000_000
    assert clock.now() == START_MS + 1_500


def test_the_machines_own_clocks_are_the_usual_ones() -> None:
    """Without anything injected it is the present moment."""
    clock = Clock()
    before = time.time_ns() // 1_000_000
    assert before - 1 <= clock.now() <= time.time_ns() // 1_000_000 + 1
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= clock.boot_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert clock.watch()


@pytest.mark.parametrize("back_ms", [6_000, HOUR_MS, START_MS])
def test_a_clock_set_back_revives_nothing(samples: Samples, clocks: Clocks, back_ms: int) -> None:
    """An expired token stays expired, watched or not."""
    clock = clocks.clock()
    verifier = samples.verifier(clock)
    clocks.advance(60)
    text = samples.texts["lasting"]
    assert verifier.check(text, permission="charges:get").reason is Reason.token_expired
    clocks.wall_ms -= back_ms
    for _ in range(3):
        assert verifier.check(text, permission="charges:get").reason is Reason.token_expired
        clock.watch()
        clocks.advance(1)


def test_a_token_ends_at_its_millisecond(samples: Samples, clocks: Clocks) -> None:
    """The last millisecond before the expiry is good, the expiry itself is not; also when what is
    known of the token is cached."""
    verifier = samples.verifier(clocks.clock())
    clocks.advance(59.999)
    assert verifier.check(samples.texts["lasting"], permission="charges:get").allowed
    clocks.advance(0.001)
    decision = verifier.check(samples.texts["lasting"], permission="charges:get")
    assert decision.reason is Reason.token_expired


@pytest.mark.parametrize("back_ms", [5_001, HOUR_MS])
def test_a_clock_that_went_back_is_not_ready_until_they_agree(
    clocks: Clocks, back_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, time goes on as before, and it is over when both agree again."""
    clock = clocks.clock()
    assert clock.agrees
    clocks.wall_ms -= back_ms
    with caplog.at_level(logging.ERROR, "gatepass.clock"):
        for second in range(1, 4):
            clocks.advance(1)
            assert not clock.watch()
            assert not clock.agrees
            assert clock.now() == START_MS + second * 1_000
    assert len(caplog.records) == 1
    clocks.wall_ms += back_ms - 5_000
    assert clock.watch()
    assert clock.agrees
    assert clock.now() == START_MS + 3_000


@pytest.mark.parametrize("drift_ms", [-5_000, -1, 1, 5_000])
def test_small_differences_are_nothing(clocks: Clocks, drift_ms: int) -> None:
    """Five seconds either way are neither followed nor complained of."""
    clock = clocks.clock()
    clocks.wall_ms += drift_ms
    assert clock.watch()
    assert clock.now() == START_MS


def test_a_jump_ahead_is_followed(samples: Samples, clocks: Clocks) -> None:
    """Things expire sooner rather than later: at once, at the next watch."""
    clock = clocks.clock()
    verifier = samples.verifier(clock)
    clocks.wall_ms += HOUR_MS
    assert clock.watch()
    assert clock.now() == START_MS + HOUR_MS
    decision = verifier.check(samples.texts["lasting"], permission="charges:get")
    assert decision.reason is Reason.token_expired


def test_a_jump_ahead_is_not_taken_back(clocks: Clocks) -> None:
    """Followed there, not followed back: not ready instead."""
    clock = clocks.clock()
    clocks.wall_ms += HOUR_MS
    clock.watch()
    clocks.wall_ms -= HOUR_MS
    assert not clock.watch()
    assert clock.now() == START_MS + HOUR_MS


@pytest.mark.parametrize("behind_ms", [5_001, HOUR_MS, 10 * 365 * 24 * HOUR_MS])
def test_a_start_before_the_latest_time_seen_is_refused(clocks: Clocks, behind_ms: int) -> None:
    """Restarting doesn't get around it; one line says what to do."""
    with pytest.raises(Misconfigured, match="--accept-clock") as refused:
        clocks.clock(START_MS + behind_ms)
    assert "\n" not in refused.value.message


def test_a_start_before_the_latest_time_seen_can_be_accepted(clocks: Clocks) -> None:
    """Someone who knows that the clock was wrong before says so."""
    assert clocks.clock(START_MS + HOUR_MS, accept=True).now() == START_MS


@pytest.mark.parametrize("behind_ms", [-HOUR_MS, 0, 5_000])
def test_a_start_about_when_it_was_last_seen_is_no_matter(clocks: Clocks, behind_ms: int) -> None:
    """Up to five seconds."""
    assert clocks.clock(START_MS + behind_ms).now() == START_MS


def test_the_latest_time_seen_is_kept_for_the_next_start(clocks: Clocks, tmp_path: Path) -> None:
    """The map remembers it, and never an earlier one."""
    clock = clocks.clock()
    clocks.advance(100)
    clock.watch(make_map(tmp_path))
    clocks.wall_ms -= HOUR_MS
    clocks.boot_ns -= 50_000_000_000
    clock.watch(make_map(tmp_path))
    assert make_map(tmp_path).latest_ms == START_MS + 100_000
    with pytest.raises(Misconfigured):
        clocks.clock(make_map(tmp_path).latest_ms)


def test_a_worker_carries_on_its_supervisors_time(clocks: Clocks) -> None:
    """A respawned process uses the node's time, not the wall clock."""
    supervisor = clocks.clock()
    clocks.wall_ms -= HOUR_MS
    clocks.advance(10)
    worker = clocks.clock(offset_ns=supervisor.offset_ns)
    assert worker.now() == supervisor.now() == START_MS + 10_000


def test_a_worker_started_while_the_clock_is_back_is_not_ready(clocks: Clocks) -> None:
    """From its first moment on, not from its first watch."""
    supervisor = clocks.clock()
    clocks.wall_ms -= HOUR_MS
    assert not clocks.clock(offset_ns=supervisor.offset_ns).agrees


def test_a_worker_started_after_a_jump_follows_it(clocks: Clocks) -> None:
    """It doesn't decide by a time that is an hour old for its first second."""
    supervisor = clocks.clock()
    clocks.wall_ms += HOUR_MS
    assert clocks.clock(offset_ns=supervisor.offset_ns).now() == START_MS + HOUR_MS
