"""Whether a follower's machine goes by the same time as the primary, said once when it doesn't."""

import logging

from gatepass.verify.clock import Clock
from gatepass.verify.freshness import SharedMap

_log = logging.getLogger("gatepass.follower")


class SharedTime:
    """Asked about each answer of the primary before the copy is vouched for by it."""

    def __init__(self, clock: Clock, shared: SharedMap) -> None:
        self._clock = clock
        self._shared = shared
        self._agreed = True

    def holds(self, told_ms: int, asked_boot_ns: int) -> bool:
        """Whether the copy may be vouched for as far as the clock is concerned. If the clocks are
        apart, it isn't any more.

        Ask at once, while the answer is young: one that lay about for seconds tells nothing.

        Args:
            told_ms: the primary's Unix time in milliseconds, read after *asked_boot_ns*.
            asked_boot_ns: BOOT_CLOCK before the primary was asked.
        """
        agree = self._clock.shares(told_ms, asked_boot_ns)
        if agree is False:
            self._shared.withdraw()
            if self._agreed:
                _log.error(
                    "this machine's clock and the primary's are %.1f s apart; not ready until they "
                    "agree",
                    abs(self._clock.now() - told_ms) / 1000,
                )
        if agree is not None:
            self._agreed = agree
        return bool(agree)
