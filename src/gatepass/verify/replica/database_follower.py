"""Keeps a node's copy of the grants current from its database, and renews the copy's lease.

One process per node follows, the holder of the lock file; the others only read. The protocol, with
its reasons, is in docs/explanation/architecture.md. In short:

1. Read both clocks, then ask the primary by committing a heartbeat. An isolated or demoted primary
   can't commit, and time lost on the way shortens the lease.
2. If the primary doesn't know the copy's (revision, tag), the histories have diverged (a failover
   that lost commits, a restore). End the lease at once and rebuild, in one transaction that also
   deletes rows missing in the snapshot. The file is never replaced while processes read it.
3. Otherwise apply the changes since that position, in whole revisions, from one snapshot.
4. Only then renew the lease, from the time read in step 1, and only if this node's time is within
   five seconds of the primary's, so that all nodes expire tokens at the same time.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Protocol

from gatepass.core.errors import Unavailable
from gatepass.log_limit import LogLimit
from gatepass.verify.backoff import Backoff
from gatepass.verify.clock import Clock
from gatepass.verify.freshness import in_place, inode, open_own_file
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.clock_agreement import ClockAgreement
from gatepass.verify.replica.grant_copy import (
    ChangedRow,
    CopyTransaction,
    Position,
    open_copy,
    position,
    remove_copy,
    side_files,
)

#: Poll interval: changes are seen after this long even if no notification arrives.
POLL_SECONDS = 0.4
#: The pauses after failures double: each may cost the primary a full snapshot.
_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 0.5, 2.0
# No descriptor.
_CLOSED: Final = -1

_log = logging.getLogger("gatepass.follower")


class Feed(Protocol):
    """The source of changes. A method may raise any exception: the follower retries."""

    def heartbeat(self) -> int:
        """Commit at the primary; return its Unix time in milliseconds, read on the way.

        Raises if the server isn't the primary, or can't commit.
        """

    def changes(self, after: Position) -> tuple[Position, Iterable[ChangedRow]] | None:
        """The position they lead to and the changes after *after*, by (revision, id).

        Both from one snapshot. None if the primary doesn't know *after*.
        """

    def snapshot(self) -> tuple[Position, Iterable[ChangedRow]]:
        """The position and every row, from one snapshot."""

    def wait(self, seconds: float) -> None:
        """Return on a notification, or after *seconds*."""

    def close(self) -> None:
        """Close the connections."""


class NodeLock:
    """The lock file of a node. Its holder follows, and folds use counts.

    The lock ends with the process, however that dies. The file is created once and never removed: a
    lock on a removed file excludes nobody.

    Raises:
        Misconfigured: the file belongs to another user, or isn't a plain file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = open_own_file(path)
        self._inode = inode(os.fstat(self._descriptor))
        self.held = False

    def acquire(self) -> bool:
        """Try to acquire the lock without waiting; whether this process holds it."""
        if not self.held:
            with suppress(BlockingIOError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.held = True
        return self.held

    def in_place(self) -> bool:
        """Whether the path still names the locked file."""
        return in_place(self._path, self._inode)

    def close(self) -> None:
        """Release the lock. Once it is closed this does nothing: its descriptor may be another's.

        In a fork this only closes the inherited descriptor: the parent keeps the lock. A fork that
        kept the descriptor would block the lock after the parent's death, without following.
        """
        descriptor, self._descriptor = self._descriptor, _CLOSED
        self.held = False
        if descriptor != _CLOSED:
            os.close(descriptor)


class Follower:
    """Copies changes into the local grant file.

    Args:
        file: the copy.
        clock: both clocks of this process.
        staleness_ms: MAX_STALENESS in milliseconds.
        on_divergence: called after the copy was rebuilt because the primary didn't know its
            position: with that position, and with the new one.
    """

    def __init__(
        self,
        file: GrantFile,
        clock: Clock,
        staleness_ms: int,
        on_divergence: Callable[[Position, Position], None] = lambda copy, there: None,
    ) -> None:
        self._file = file
        self._clock = clock
        self._staleness_ms = staleness_ms
        self._clock_agreement = ClockAgreement(clock, file.shared)
        self._on_divergence = on_divergence
        self._log_limit = LogLimit()

    def follow(self, feed: Feed, running: Callable[[], bool]) -> None:
        """Follow while *running* returns True. Retry during an outage; the lease isn't renewed."""
        backoff = Backoff(_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        while running():
            try:
                # Reopened after every interruption: a connection can keep a disk's error.
                with closing(open_copy(self._file.path)) as connection:
                    position(connection)
                    beside = side_files(self._file.path)
                    while running():
                        if side_files(self._file.path) != beside:
                            self._discard_copy()
                        self.sync(connection, feed)
                        backoff.reset()
                        feed.wait(POLL_SECONDS)
            except Exception as error:
                kind = type(error).__name__
                if self._log_limit.left_out(kind) is not None:
                    _log.warning("following is interrupted: %s", kind)
                _close(feed)
                _sleep(backoff.pause(), running)
        _close(feed)

    def _discard_copy(self) -> None:
        """Remove a copy whose side files were removed.

        Processes that open it now read another state than those that have it open.
        """
        self._file.shared.end_lease()
        remove_copy(self._file.path)
        raise Unavailable("files beside the copy were removed")

    def sync(self, connection: sqlite3.Connection, feed: Feed) -> None:
        """Ask the primary, apply its changes and renew the lease, once."""
        asked_boot_ns, asked_wall_ms = self._clock.boot_ns(), self._clock.wall_ms()
        clocks_agree = self._clock_agreement.check(feed.heartbeat(), asked_boot_ns)
        here = position(connection)
        ahead = feed.changes(here) if here is not None else None
        full = ahead is None
        if ahead is None:
            self._file.shared.end_lease()
            if self._log_limit.left_out("snapshot") is not None:
                _log.warning("loading a full snapshot of the grants")
            ahead = feed.snapshot()
        there, rows = ahead
        if full or there != here:
            transaction = CopyTransaction(connection, self._file, here, full=full)
            try:
                transaction.write(rows)
                transaction.commit(there)
            except BaseException:
                transaction.rollback()
                raise
        self._file.shared.set_position(*there)
        if clocks_agree:
            self._file.shared.renew_lease(asked_boot_ns, asked_wall_ms, self._staleness_ms)
        if full and here is not None:
            self._on_divergence(here, there)


def _close(feed: Feed) -> None:
    # A broken connection may raise on close.
    with suppress(Exception):
        feed.close()


def _sleep(seconds: float, running: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while running() and time.monotonic() < end:
        time.sleep(0.05)
