"""Keeps a copy of the grants current from a stream of frames, and renews its lease.

The records since the last ``Reached`` are applied in one transaction, together with the position
they lead to. Only then the lease is renewed, from before the primary was asked. A stream that
breaks off, however late in a snapshot, leaves the copy as it was.
"""

import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from gatepass.core.errors import Unavailable
from gatepass.verify.clock import Clock
from gatepass.verify.freshness import NO_POSITION, in_place, inode
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.clock_agreement import ClockAgreement
from gatepass.verify.replica.frames import (
    PROTOCOL,
    BrokenFeed,
    Frame,
    Opening,
    Reached,
    Record,
    Records,
    asked_boot_ns_here,
    server_time_ms,
    unpack,
)
from gatepass.verify.replica.grant_copy import (
    CopyTransaction,
    Position,
    open_copy,
    position,
    remove_copy,
    side_files,
)

#: The records before a ``Reached`` are one transaction. A hundred million grants take minutes.
LONGEST_SNAPSHOT_SECONDS = 3_600.0
LONGEST_CHANGE_SECONDS = 600.0
#: The disk isn't the copy's alone: a long change leaves this much free, or a twentieth if less.
SPARED_BYTES = 256 << 20
_CHECK_DISK_EVERY_BYTES = 16 << 20

_log = logging.getLogger("gatepass.follower")


class CopyRemoved(Unavailable):
    """The copy's file was removed or replaced while processes were using it."""


class StreamedCopy:
    """A copy to which one stream after the other is applied.

    Args:
        file: the copy's file.
        clock: both clocks of this process.
        scope: the limits of the copy; a copy with other limits counts as empty.
        sqlite_lock: held while SQLite is used, never while waiting for the network. A fork holds
            it, and closes the connection before (``close_locked``).
    """

    def __init__(
        self, file: GrantFile, clock: Clock, scope: str, sqlite_lock: "threading.Lock"
    ) -> None:
        self._file = file
        self._clock = clock
        self._scope = scope
        self._clock_agreement = ClockAgreement(clock, file.shared)
        self._sqlite_lock = sqlite_lock
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._side_files: tuple[tuple[int, int] | None, ...] = ()
        self._stream: _Stream | None = None

    def begin(self) -> Position | None:
        """Start a new stream.

        Returns:
            The position to request changes after; None requests a snapshot.

        Raises:
            CopyRemoved: the copy was replaced, and the map belongs to the previous one.
            sqlite3.Error, OSError: the copy can't be opened.
        """
        with self._sqlite_lock:
            self._end_stream()
            connection = self._opened()
            here = position(connection, self._scope)
            if here is None:
                # It may hold the grants of other limits, under a lease that still runs.
                self._file.shared.end_lease()
                self._require_unused_map(connection)
            # The boot clock is read before the request with this position is sent.
            self._stream = _Stream(here, self._clock.boot_ns())
            return here

    def apply(self, frame: Frame) -> Position | None:
        """Apply the next frame of the stream.

        Returns:
            The copy's new position after a ``Reached``; None after any other frame.

        Raises:
            BrokenFeed: the frame is invalid at this point.
            CopyRemoved: the copy's file was removed or replaced.
            Unavailable: another process advanced the copy, or it was closed for a fork.
            sqlite3.Error: the copy can't be written.
        """
        with self._sqlite_lock:
            stream = self._stream
            if stream is None:
                raise Unavailable("the stream was broken off")
            if isinstance(frame, Opening):
                self._open(stream, frame)
                return None
            if stream.opening is None:
                raise BrokenFeed("a feed must begin with its opening")
            if isinstance(frame, Records):
                records = unpack(frame)
                self._require_bounds(stream, records)
                self._transaction(stream).write(records)
                return None
            return self._reach(stream, stream.opening, frame)

    def close(self) -> None:
        """Close the connection and roll back what isn't committed.

        A stream within a change is ended; a stream between changes continues.
        """
        with self._sqlite_lock:
            self.close_locked()

    def close_locked(self) -> None:
        """``close`` for a caller that holds *sqlite_lock*."""
        if self._stream is not None and self._stream.transaction is not None:
            self._end_stream()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self, stream: "_Stream", opening: Opening) -> None:
        if opening.protocol != PROTOCOL:
            raise BrokenFeed(f"the server speaks version {opening.protocol} of the feed's protocol")
        if stream.opening is not None or (stream.here is None and not opening.full):
            raise BrokenFeed("a feed must have one opening, for the requested position")
        stream.opening = opening
        stream.full = opening.full
        self._file.shared.set_public_url(opening.public_url)
        if opening.full:
            # The histories have diverged, or the copy was too far behind.
            self._file.shared.end_lease()
            _log.info("loading a full snapshot of the grants")

    def _require_bounds(self, stream: "_Stream", records: Sequence[Record]) -> None:
        """Refuse records without end: a broken or hostile server must not fill the disk.

        Raises:
            BrokenFeed: the change takes too long, or leaves too little of the disk.
        """
        now = time.monotonic()
        if stream.transaction is None:
            stream.changing_since, stream.unchecked_bytes = now, 0
        longest = LONGEST_SNAPSHOT_SECONDS if stream.full else LONGEST_CHANGE_SECONDS
        if now - stream.changing_since > longest:
            raise BrokenFeed("the server's records were cut off: they took too long")
        stream.unchecked_bytes += sum(len(record[1]) + len(record[2] or b"") for record in records)
        if stream.unchecked_bytes < _CHECK_DISK_EVERY_BYTES:
            return
        stream.unchecked_bytes = 0
        disk = shutil.disk_usage(self._file.path.parent)
        if disk.free < min(SPARED_BYTES, disk.total // 20):
            raise BrokenFeed(
                "the server's records were cut off: they would fill the disk, "
                f"{disk.free >> 20} MiB are free"
            )

    def _transaction(self, stream: "_Stream") -> CopyTransaction:
        if stream.transaction is None:
            stream.transaction = CopyTransaction(
                self._opened(), self._file, stream.here, full=stream.full, scope=self._scope
            )
        return stream.transaction

    def _reach(self, stream: "_Stream", opening: Opening, reached: Reached) -> Position:
        # Wall clock first: if the process is suspended in between, it is early rather than late.
        wall_ms = self._clock.wall_ms()
        boot_ns = self._clock.boot_ns()
        asked_boot_ns = asked_boot_ns_here(stream.sent_boot_ns, opening, reached, boot_ns)
        asked_wall_ms = wall_ms + (asked_boot_ns - boot_ns) // 1_000_000
        clocks_agree = self._clock_agreement.check(server_time_ms(opening, reached), asked_boot_ns)
        self._require_file()
        there = (reached.revision, reached.tag)
        if stream.full or stream.transaction is not None or there != stream.here:
            self._transaction(stream).commit(there)
            stream.transaction, stream.full, stream.here = None, False, there
        elif position(self._opened(), self._scope) != there:
            raise Unavailable("another process has advanced the copy")
        self._file.shared.set_position(*there)
        if clocks_agree:
            self._file.shared.renew_lease(asked_boot_ns, asked_wall_ms, opening.staleness_ms)
        return there

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_copy(self._file.path)
            position(self._connection)
            self._inode = inode(os.stat(self._file.path))
            self._side_files = side_files(self._file.path)
        return self._connection

    def _require_file(self) -> None:
        """Check that other processes still read the file that this one writes."""
        if self._inode is not None and not in_place(self._file.path, self._inode):
            raise CopyRemoved(f"{self._file.path} was removed or replaced")
        if self._connection is not None and side_files(self._file.path) != self._side_files:
            # Processes that open the copy now read another state than those that have it open.
            remove_copy(self._file.path)
            raise CopyRemoved(f"files beside {self._file.path} were removed or replaced")

    def _require_unused_map(self, connection: sqlite3.Connection) -> None:
        """Check that the map doesn't belong to a previous copy, which processes may still read.

        A lease for the new copy in that map would count for the previous copy, too.
        """
        empty = not connection.execute("SELECT 1 FROM followed").fetchall()
        if empty and self._file.shared.position != NO_POSITION:
            raise CopyRemoved(f"{self._file.path} was removed")

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and stream.transaction is not None:
            stream.transaction.rollback()


class _Stream:
    """The state of one stream.

    Attributes:
        here: the requested position, later the last one reached.
        sent_boot_ns: BOOT_CLOCK before the request was sent.
        full: the records up to the first ``Reached`` are a snapshot.
        transaction: of the current change, if any.
        changing_since: start of the current change (``time.monotonic``).
        unchecked_bytes: received since the disk was last checked.
    """

    def __init__(self, here: Position | None, sent_boot_ns: int) -> None:
        self.here = here
        self.sent_boot_ns = sent_boot_ns
        self.opening: Opening | None = None
        self.full = False
        self.transaction: CopyTransaction | None = None
        self.changing_since = 0.0
        self.unchecked_bytes = 0
