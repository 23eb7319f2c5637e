"""Records when a follower's copy reaches each revision, and the times on the way there.

Python imports this module at its start if this directory is on PYTHONPATH. Each process appends to
a file of its own in the directory that FAULTS_TRACE names; ``faults.stages`` reads them. Times are
CLOCK_BOOTTIME in nanoseconds, one clock for all processes of the machine.
"""

import os
import time
from pathlib import Path
from typing import Any

from gatepass.verify.replica.database_follower import Follower
from gatepass.verify.replica.streamed_copy import StreamedCopy

_directory = Path(os.environ["FAULTS_TRACE"])
_sync = Follower.sync
_apply = StreamedCopy.apply


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class _TimedFeed:
    """A node's feed that notes when the changes have been read."""

    def __init__(self, feed: Any) -> None:
        self._feed = feed
        self.read = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._feed, name)

    def changes(self, after: Any) -> Any:
        found = self._feed.changes(after)
        self.read = _now()
        return found


def _traced_sync(follower: Follower, connection: Any, feed: Any) -> None:
    began, before, timed = _now(), follower._file.shared.revision, _TimedFeed(feed)
    _sync(follower, connection, timed)
    revision = follower._file.shared.revision
    if revision != before:
        _append(revision, began, timed.read, _now())


def _traced_apply(copy: StreamedCopy, frame: Any) -> Any:
    began = _now()
    position = _apply(copy, frame)
    if position is not None:
        _append(position[0], began, began, _now())
    return position


def _append(revision: int, began: int, read: int, written: int) -> None:
    with (_directory / f"{os.getpid()}.trace").open("a") as trace:
        trace.write(f"{revision} {began} {read} {written}\n")


setattr(Follower, "sync", _traced_sync)  # noqa: B010 - mypy refuses the assignment of a method
setattr(StreamedCopy, "apply", _traced_apply)  # noqa: B010 - the same
