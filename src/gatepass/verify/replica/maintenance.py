"""What has to be seen to once a second in a process that embeds Gatepass: the clock, the counts."""

import atexit
import logging
import threading
import weakref
from contextlib import suppress

from gatepass.verify import forks, uwsgi
from gatepass.verify.decider import Decider
from gatepass.verify.usage import Usage

ROUND_SECONDS = 1.0
_CLOSE_SECONDS = 2.0

_log = logging.getLogger("gatepass.embed")


class Rounds:
    """Looks after a decider in the background, for as long as somebody has it, or until it is
    closed; in forks of the process too."""

    def __init__(self, decider: Decider, usage: Usage) -> None:
        self._decider = weakref.ref(decider)
        self._usage = usage
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        uwsgi.require_threads()
        forks.see_to(self)
        atexit.register(_at_exit, weakref.ref(self))

    def start(self) -> None:
        """Begin, unless the process is yet to fork."""
        if forks.begun():
            self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True, name="gatepass_rounds")
        self._thread.start()

    def close(self) -> None:
        """End it, and spool what was counted."""
        self._closed.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_SECONDS)
        self._usage.close()

    def _run(self) -> None:
        while not self._closed.is_set() and (decider := self._decider()) is not None:
            try:
                decider.clock.watch(decider.file.shared)
                decider.file.watch()
                self._usage.flush()
            except Exception as error:
                _log.warning("a round failed: %s", type(error).__name__)
            del decider  # or nobody else could be the last to have it
            self._closed.wait(ROUND_SECONDS)
        if not self._closed.is_set():
            self.close()

    def before_fork(self) -> None:
        """Nothing: a thread that sleeps most of the time simply isn't there in the child."""

    def after_fork(self) -> None:
        """Nothing, either."""

    def forked(self) -> None:
        """Begin anew: threads don't survive a fork."""
        decider = self._decider()
        if decider is not None and not self._closed.is_set():
            # What the parent counted, the parent spools.
            decider.counting = self._usage = Usage(decider.file.use_directory)
            self._closed = threading.Event()
            self._begin()


def _at_exit(rounds: "weakref.ref[Rounds]") -> None:
    held = rounds()
    if held is not None:
        with suppress(Exception):
            held.close()
