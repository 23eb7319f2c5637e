"""At most one log line a minute of each kind."""

import time
from collections.abc import Callable, Hashable
from typing import Final

_SECONDS_BETWEEN: Final = 60.0


class LogLimit:
    """Says whether a line may be logged, and counts the ones left out.

    Two threads may both log a line of the same kind; that does no harm.

    Args:
        monotonic: a clock in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # By kind: when its last line was logged, and how many were left out since.
        self._logged: dict[Hashable, tuple[float, int]] = {}

    def left_out(self, kind: Hashable) -> int | None:
        """How many lines of *kind* were left out since its last one; None to leave this one out."""
        now = self._monotonic()
        last, left_out = self._logged.get(kind, (now - _SECONDS_BETWEEN, 0))
        if now - last < _SECONDS_BETWEEN:
            self._logged[kind] = (last, left_out + 1)
            return None
        self._logged[kind] = (now, 0)
        return left_out
