"""Checks that a follower's clock agrees with the primary's."""

import logging

from gatepass.verify.clock import Clock
from gatepass.verify.freshness import SharedMap

_log = logging.getLogger("gatepass.follower")


class ClockAgreement:
    """Checks each of the primary's answers before it renews the copy's lease."""

    def __init__(self, clock: Clock, shared: SharedMap) -> None:
        self._clock = clock
        self._shared = shared
        self._agreed = True

    def check(self, primary_ms: int, asked_boot_ns: int) -> bool:
        """Whether the clocks allow the lease to be renewed. If they differ, end the lease.

        Call it as soon as the answer is there: an answer that is seconds old proves nothing.

        Args:
            primary_ms: the primary's Unix time in milliseconds, read after *asked_boot_ns*.
            asked_boot_ns: BOOT_CLOCK before the primary was asked.
        """
        agree = self._clock.agrees_with(primary_ms, asked_boot_ns)
        if agree is False:
            self._shared.end_lease()
            if self._agreed:
                _log.error(
                    "this machine's clock and the primary's are %.1f s apart; not ready until they "
                    "agree",
                    abs(self._clock.now() - primary_ms) / 1000,
                )
        if agree is not None:
            self._agreed = agree
        return bool(agree)
