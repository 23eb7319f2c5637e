"""Background maintenance of a verifier: clock, grant file, use counts."""

import atexit
import logging
import weakref
from contextlib import suppress

from gatepass.node_counters import Workers
from gatepass.verify import forks, uwsgi
from gatepass.verify.decider import Decider
from gatepass.verify.periodic_task import PeriodicTask
from gatepass.verify.usage import Usage

INTERVAL_SECONDS = 1.0
_CLOSE_SECONDS = 2.0

_log = logging.getLogger("gatepass.maintenance")


class Maintenance:
    """Maintains a decider until it is closed or the decider is garbage-collected.

    It continues in forks of the process.

    Args:
        usage: the decider's counts.
        workers: where a node's worker process records what it uses.
    """

    def __init__(self, decider: Decider, usage: Usage, workers: Workers | None = None) -> None:
        self._decider = weakref.ref(decider)
        self._usage = usage
        self._workers = workers
        self._closed = False
        self._task = self._new_task()
        uwsgi.require_threads()
        forks.register(self)
        atexit.register(_close_at_exit, weakref.ref(self))

    def start(self) -> None:
        """Start the thread, unless uWSGI has yet to fork this process."""
        if forks.may_start():
            self._task.start()

    def close(self) -> None:
        """Stop the thread, and spool the use counts."""
        self._closed = True
        self._task.stop(_CLOSE_SECONDS)
        self._usage.close()

    def before_fork(self) -> None:
        """Nothing: the thread merely doesn't exist in the child."""

    def after_fork(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Start a thread, with counts of its own: the parent spools the parent's."""
        decider = self._decider()
        if decider is not None and not self._closed:
            self._usage = Usage(decider.file.use_directory)
            decider.count_in(self._usage)
            self._task = self._new_task()
            self._task.start()

    def _new_task(self) -> PeriodicTask:
        return PeriodicTask(
            "maintenance", self._maintain, INTERVAL_SECONDS, log=_log, failure="maintenance failed"
        )

    def _maintain(self) -> None:
        decider = self._decider()
        if decider is None:
            self.close()
            return
        decider.clock.watch(decider.file.shared)
        decider.file.watch()
        self._usage.flush()
        if self._workers is not None:
            self._workers.record()


def _close_at_exit(reference: "weakref.ref[Maintenance]") -> None:
    maintenance = reference()
    if maintenance is not None:
        with suppress(Exception):
            maintenance.close()
