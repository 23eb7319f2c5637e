"""Keeps a node's copy of the grants current from a feed, and vouches for it.

One process per node follows (whoever holds the lock file); the others only read. The protocol, and
why each step is as it is, stands in docs/explanation/architecture.md; in short:

1. Read both clocks, then ask the primary by committing a heartbeat: an isolated or demoted primary
   can't answer that, and time lost on the way counts against the copy.
2. If the primary doesn't know the copy's (revision, tag), histories parted (a failover that lost
   commits, a restore): stop vouching at once and rebuild, in one transaction that also removes what
   the snapshot lacks. The file is never replaced while anyone runs.
3. Otherwise apply what changed since, whole revisions at a time, all from one snapshot.
4. Only then vouch, from the moment read in step 1; and only while this node's time is within five
   seconds of the primary's, so that nodes don't expire tokens at different times.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from gatepass.core.errors import Unavailable
from gatepass.verify.clock import Clock
from gatepass.verify.freshness import in_place, inode, open_own_file
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.clock_agreement import SharedTime
from gatepass.verify.replica.grant_copy import (
    ChangedRow,
    Move,
    Position,
    open_copy,
    position,
    remove_copy,
    side_files,
)

#: The net under the wake-up calls: a change is seen after this long even if none arrives.
POLL_SECONDS = 0.4
_RETRY_SECONDS = 0.5

_log = logging.getLogger("gatepass.follower")


class Feed(Protocol):
    """Where changes come from. Every method may raise any exception: the follower tries again."""

    def heartbeat(self) -> int:
        """Commit something at the primary; raise if it isn't one, or can't. Its Unix time in
        milliseconds, read on the way."""

    def changes(self, after: Position) -> tuple[Position, Iterable[ChangedRow]] | None:
        """All that changed after *after*, by (revision, id), and the position it leads to, in one
        snapshot; None if the primary doesn't know that position."""

    def snapshot(self) -> tuple[Position, Iterable[ChangedRow]]:
        """Every row, in one snapshot, and its position."""

    def wait(self, seconds: float) -> None:
        """Return when something changed, or after *seconds*."""

    def close(self) -> None:
        """Let go of connections."""


class NodeLock:
    """The lock file: its holder follows, and folds use. It ends with its process, however it dies.

    Made once and never removed: a lock on a removed file would not keep anyone out.

    Raises:
        Misconfigured: the file belongs to someone else, or isn't a plain file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = open_own_file(path)
        self._inode = inode(os.fstat(self._descriptor))
        self.held = False

    def take(self) -> bool:
        """Try to take it, without waiting; whether this process has it."""
        if not self.held:
            with suppress(BlockingIOError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.held = True
        return self.held

    def in_place(self) -> bool:
        """Whether the lock's file still is the one that others find."""
        return in_place(self._path, self._inode)

    def close(self) -> None:
        """Give it back. In a fork this closes the inherited descriptor only: the parent has the
        lock until it closes its own, and nobody would have it if a fork went on holding it."""
        os.close(self._descriptor)
        self.held = False


class Follower:
    """Copies what changed into the local file.

    Args:
        file: the copy.
        clock: both clocks of this process.
        staleness_ms: MAX_STALENESS in milliseconds.
        parted: told of a position that the primary doesn't know, and of the one from which the copy
            was built anew, once that is done.
    """

    def __init__(
        self,
        file: GrantFile,
        clock: Clock,
        staleness_ms: int,
        parted: Callable[[Position, Position], None] = lambda copy, there: None,
    ) -> None:
        self._file = file
        self._clock = clock
        self._staleness_ms = staleness_ms
        self._time = SharedTime(clock, file.shared)
        self._parted = parted

    def follow(self, feed: Feed, running: Callable[[], bool]) -> None:
        """Follow until *running* says no; an outage is waited out while the stamp runs down."""
        while running():
            try:
                # Opened anew after every interruption: a disk's error can outlast a connection.
                with closing(open_copy(self._file.path)) as connection:
                    position(connection)
                    beside = side_files(self._file.path)
                    while running():
                        if side_files(self._file.path) != beside:
                            self._begin_anew()
                        self.round(connection, feed)
                        feed.wait(POLL_SECONDS)
            except Exception as error:
                _log.warning("following is interrupted: %s", type(error).__name__)
                _close(feed)
                _sleep(_RETRY_SECONDS, running)
        _close(feed)

    def _begin_anew(self) -> None:
        """Who opens the copy now reads another state of it than who has it open."""
        self._file.shared.withdraw()
        remove_copy(self._file.path)
        raise Unavailable("files beside the copy were removed")

    def round(self, connection: sqlite3.Connection, feed: Feed) -> None:
        """One step of the protocol: ask, apply, vouch."""
        asked_boot_ns, asked_wall_ms = self._clock.boot_ns(), self._clock.wall_ms()
        shares_time = self._time.holds(feed.heartbeat(), asked_boot_ns)
        here = position(connection)
        ahead = feed.changes(here) if here is not None else None
        anew = ahead is None
        if ahead is None:
            self._file.shared.withdraw()
            _log.warning("building the copy of the grants anew")
            ahead = feed.snapshot()
        there, rows = ahead
        if anew or there != here:
            move = Move(connection, self._file, here, anew=anew)
            try:
                move.put(rows)
                move.commit(there)
            except BaseException:
                move.undo()
                raise
        self._file.shared.reached(*there)
        if shares_time:
            self._file.shared.vouch(asked_boot_ns, asked_wall_ms, self._staleness_ms)
        if anew and here is not None:
            self._parted(here, there)


def _close(feed: Feed) -> None:
    # Whatever a broken connection says while it is let go of, following goes on.
    with suppress(Exception):
        feed.close()


def _sleep(seconds: float, running: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while running() and time.monotonic() < end:
        time.sleep(0.05)
