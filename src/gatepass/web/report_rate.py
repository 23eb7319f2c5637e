"""Limits how often credentials can be reported: each report is many look-ups by anyone.

Counted in memory and by each process, since nothing may be written for a text that is no
credential.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from math import ceil

from gatepass.core.errors import TooManyAttempts

MOST_FROM_ADDRESS = 10
MOST_IN_ALL = 60
WINDOW_S = 60.0


class ReportRate:
    """The reports of the last minute.

    Args:
        now: a monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        # Bounded by MOST_IN_ALL: refused reports don't count.
        self._admitted: deque[tuple[float, str | None]] = deque()

    def admit(self, source: str | None) -> None:
        """Count a report from *source*, as ``throttling.source_of`` writes it.

        Raises:
            TooManyAttempts: there were too many, from there or in all.
        """
        with self._lock:
            now = self._now()
            while self._admitted and self._admitted[0][0] <= now - WINDOW_S:
                self._admitted.popleft()
            own = [at for at, each in self._admitted if each == source]
            first = None
            if len(own) >= MOST_FROM_ADDRESS:
                first = own[0]
            elif len(self._admitted) >= MOST_IN_ALL:
                first = self._admitted[0][0]
            if first is not None:
                wait_s = max(1, ceil(first + WINDOW_S - now))
                raise TooManyAttempts(wait_s, "Too many reports.")
            self._admitted.append((now, source))
