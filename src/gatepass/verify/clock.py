"""The time decisions go by: it starts from the wall clock and never goes back.

Setting a machine's clock back must not revive an expired token. So a process's time is the wall
clock at its start carried on by a clock nobody can set.
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
    """Unix time in milliseconds: the wall clock at the start, carried on by CLOCK_BOOTTIME.

    Args:
        latest_ms: the latest time this installation has seen, or 0.
        accept: start although the wall clock is behind that (``--accept-clock``).
        offset_ns: carry on another process's clock instead of starting anew: the workers of one
            node, respawned ones too, go by the time of the process that started them.
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
        # A worker that is respawned while the wall clock is behind isn't ready for a second first.
        self.watch()

    def now(self) -> int:
        """The present moment, in Unix milliseconds."""
        return (self.boot_ns() + self.offset_ns) // 1_000_000

    def shares(self, told_ms: int, asked_boot_ns: int) -> bool | None:
        """Whether this process goes by the same time as the primary, within five seconds.

        Nodes that expire tokens by clocks which are hours apart would answer differently, and one
        that is behind would go on allowing what has expired. A wall clock that is ahead counts
        even before ``watch`` has followed it.

        Args:
            told_ms: the primary's Unix time in milliseconds, read after *asked_boot_ns*.
            asked_boot_ns: this machine's BOOT_CLOCK at a moment before that.

        Returns:
            None if the answer took so long that it can't be told.
        """
        wall_ms, boot_ns = self.wall_ms(), self.boot_ns()
        now_ms = (boot_ns + self.offset_ns) // 1_000_000
        ahead_ms = max(now_ms, wall_ms) - told_ms
        behind_ms = told_ms - now_ms
        took_ms = -((asked_boot_ns - boot_ns) // 1_000_000)
        if ahead_ms - took_ms > TOLERANCE_MS or behind_ms > TOLERANCE_MS:
            return False
        if ahead_ms > TOLERANCE_MS or behind_ms + took_ms > TOLERANCE_MS:
            return None
        return True

    def watch(self, shared: SharedMap | None = None) -> bool:
        """Compare the two clocks; call it about once a second, off the hot path.

        A wall clock that ran ahead by more than five seconds is followed at once: things expire
        sooner, nothing is revived. One that went back is not followed, and the process says it is
        not ready until the two agree again.

        Args:
            shared: where to keep the latest time seen.

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
                "the wall clock went back by %.1f s; carrying on by the old time, not ready until "
                "they agree",
                -ahead / 1000,
            )
        self.agrees = agrees
        if shared is not None:
            shared.saw(self.now())
        return agrees
