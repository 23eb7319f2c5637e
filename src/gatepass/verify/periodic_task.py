"""A background thread that runs one function periodically."""

import logging
import threading
from collections.abc import Callable

from gatepass.log_limit import LogLimit
from gatepass.verify.backoff import Backoff

#: A task with a longer interval is retried at its interval.
_LONGEST_PAUSE_S = 2.0


class PeriodicTask:
    """Runs *work* in a daemon thread until it is stopped. Runs never overlap.

    A run that raises is logged, at most once a minute for each type of exception. The pauses
    before its repetitions double, from *interval_s* up to two seconds.

    Args:
        name: of the thread, without ``gatepass_``.
        work: one run.
        interval_s: seconds from the end of a run to the start of the next.
        first_s: seconds before the first run.
        log: where failures are logged.
        failure: subject and verb of that log line, such as ``folding counts failed``. The type of
            the exception follows; its text may quote a secret.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        interval_s: float,
        *,
        first_s: float = 0.0,
        log: logging.Logger,
        failure: str,
    ) -> None:
        self._work = work
        self._interval_s = interval_s
        self._first_s = first_s
        self._log = log
        self._failure = failure
        self._log_limit = LogLimit()
        self._backoff = Backoff(interval_s, max(interval_s, _LONGEST_PAUSE_S))
        self._stopped = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"gatepass_{name}")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """End the current pause, so that the next run starts now."""
        self._woken.set()

    def stop(self, wait_s: float = 5.0) -> None:
        """Start no more runs, and wait up to *wait_s* seconds for the current one.

        May be called repeatedly, and from within *work*.
        """
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(wait_s)

    def _run(self) -> None:
        pause_s = self._first_s
        while not self._stopped_during(pause_s):
            try:
                self._work()
            except Exception as error:
                self._log_failure(error)
                pause_s = self._backoff.pause()
            else:
                self._backoff.reset()
                pause_s = self._interval_s

    def _stopped_during(self, pause_s: float) -> bool:
        self._woken.wait(pause_s)
        self._woken.clear()
        return self._stopped

    def _log_failure(self, error: Exception) -> None:
        kind = type(error).__name__
        if self._log_limit.left_out(kind) is not None:
            self._log.warning("%s: %s", self._failure, kind)
