"""The clock that decisions use: it starts from the wall clock and never goes back.

Setting a machine's clock back must not revive an expired token. So a process's time is the wall
clock at its start, advanced by a clock that nobody can set.
"""

import logging
import time
from collections.abc import Callable
from functools import partial

from gatepass.core.errors import Misconfigured
from gatepass.verify.freshness import BOOT_CLOCK, SharedMap

TOLERANCE_MS = 5_000

_log = logging.getLogger("gatepass.clock")


_boot_ns = partial(time.clock_gettime_ns, BOOT_CLOCK)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Clock:
    """Unix time in milliseconds: the wall clock at the start, advanced by CLOCK_BOOTTIME.

    Args:
        latest_ms: the latest time this installation has seen, or 0.
        accept: start even if the wall clock is behind *latest_ms* (``--accept-clock``).
        offset_ns: continue the clock of another process instead of reading the wall clock. All
            workers of a node, respawned ones too, use the clock of the process that started them.
        boot_ns, wall_ms: the two clocks of the machine, injectable for tests.

    Raises:
        Misconfigured: the wall clock is more than five seconds behind the latest time seen.
    """

    def __init__(
        self,
        latest_ms: int = 0,
        *,
        accept: bool = False,
        offset_ns: int | None = None,
        boot_ns: Callable[[], int] = _boot_ns,
        wall_ms: Callable[[], int] = _wall_ms,
    ) -> None:
        self.boot_ns = boot_ns
        self.wall_ms = wall_ms
        if offset_ns is None:
            offset_ns = wall_ms() * 1_000_000 - boot_ns()
            behind = latest_ms - wall_ms()
            if behind > TOLERANCE_MS and not accept:
                raise Misconfigured(
                    f"the clock is {behind / 1000:.0f} s behind the latest time this installation "
                    "has seen; set it right, or start with --accept-clock"
                )
        self.offset_ns = offset_ns
        self.agrees = True
        # A worker that is respawned while the wall clock is behind must not be ready for a second.
        self.watch()

    def now(self) -> int:
        """The current time, in Unix milliseconds."""
        return (self.boot_ns() + self.offset_ns) // 1_000_000

    def agrees_with(self, primary_ms: int, asked_boot_ns: int) -> bool | None:
        """Whether this process's time is within five seconds of the primary's.

        Nodes whose clocks are hours apart would expire tokens at different times, and a node that
        is behind would allow expired tokens. A wall clock that is ahead counts even before
        ``watch`` has followed it.

        Args:
            primary_ms: the primary's Unix time in milliseconds, read after *asked_boot_ns*.
            asked_boot_ns: this machine's BOOT_CLOCK, read before the primary was asked.

        Returns:
            None if the answer took too long to conclude either way.
        """
        wall_ms, boot_ns = self.wall_ms(), self.boot_ns()
        now_ms = (boot_ns + self.offset_ns) // 1_000_000
        ahead_ms = max(now_ms, wall_ms) - primary_ms
        behind_ms = primary_ms - now_ms
        took_ms = -((asked_boot_ns - boot_ns) // 1_000_000)
        if ahead_ms - took_ms > TOLERANCE_MS or behind_ms > TOLERANCE_MS:
            return False
        if ahead_ms > TOLERANCE_MS or behind_ms + took_ms > TOLERANCE_MS:
            return None
        return True

    def watch(self, shared: SharedMap | None = None) -> bool:
        """Compare the two clocks; call it about once a second, off the hot path.

        A wall clock that is more than five seconds ahead is followed at once: tokens expire sooner,
        none is revived. A wall clock that went back is not followed, and the process is not ready
        until the two clocks agree again.

        Args:
            shared: where to store the latest time seen.

        Returns:
            Whether the clocks agree.
        """
        ahead = self.wall_ms() - self.now()
        if ahead > TOLERANCE_MS:
            _log.warning("the wall clock jumped %.1f s ahead; following it", ahead / 1000)
            self.offset_ns += ahead * 1_000_000
        agrees = ahead >= -TOLERANCE_MS
        if not agrees and self.agrees:
            _log.error(
                "the wall clock went back by %.1f s; keeping the previous time, not ready until "
                "the two agree",
                -ahead / 1000,
            )
        self.agrees = agrees
        if shared is not None:
            shared.record_time(self.now())
        return agrees
