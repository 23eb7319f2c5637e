"""Whether a process reports that it is ready: it can decide, and isn't about to stop."""

from collections.abc import Callable

_STOPPING = "stopping"


class Readiness:
    """What ``/health/ready`` says of a process.

    Args:
        undecided: returns why the process can't decide now, or None.

    Attributes:
        draining: report not ready, so that load balancers send their requests elsewhere. Those that
            come all the same are answered as before.
    """

    def __init__(self, undecided: Callable[[], str | None]) -> None:
        self._undecided = undecided
        self.draining = False

    def not_ready(self) -> str | None:
        """Why the process isn't ready, or None."""
        return _STOPPING if self.draining else self._undecided()
