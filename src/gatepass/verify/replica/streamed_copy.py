"""Keeps a copy of the grants current from a stream of frames (``frames``), and vouches for it.

What came since the last ``Reached`` is applied in one transaction with the position it leads to;
only then the copy is vouched for, from a moment before the primary was asked. A stream that breaks
off, however late in a snapshot, leaves the copy as it was.
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
from gatepass.verify.freshness import NOWHERE, in_place, inode
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.clock_agreement import SharedTime
from gatepass.verify.replica.frames import (
    PROTOCOL,
    BrokenFeed,
    Frame,
    Opening,
    Reached,
    Record,
    Records,
    asked_here,
    told_ms,
    unpack,
)
from gatepass.verify.replica.grant_copy import (
    Move,
    Position,
    open_copy,
    position,
    remove_copy,
    side_files,
)

#: What comes before a ``Reached`` is one transaction. A hundred million grants take minutes.
LONGEST_SNAPSHOT_SECONDS = 3_600.0
LONGEST_CHANGE_SECONDS = 600.0
#: The disk isn't the copy's alone: a long change leaves this much of it free, or a twentieth.
SPARED_BYTES = 256 << 20
_LOOK_AT_DISK_EVERY_BYTES = 16 << 20

_log = logging.getLogger("gatepass.follower")


class CopyRemoved(Unavailable):
    """The copy's file was removed or replaced while processes were using it."""


class StreamedCopy:
    """A copy that one stream after the other is applied to.

    Args:
        file: the copy's file.
        clock: both clocks of this process.
        scope: what the copy is limited to; a copy of another scope counts as none.
        at_rest: held while SQLite is at work, never while the network is waited for. Whoever forks
            takes it, and lets go of the connection.
    """

    def __init__(
        self, file: GrantFile, clock: Clock, scope: str, at_rest: "threading.Lock"
    ) -> None:
        self._file = file
        self._clock = clock
        self._scope = scope
        self._time = SharedTime(clock, file.shared)
        self._at_rest = at_rest
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._beside: tuple[tuple[int, int] | None, ...] = ()
        self._stream: _Stream | None = None

    def begin(self) -> Position | None:
        """Get ready for a new stream.

        Returns:
            The position to ask for changes after; None asks for a snapshot.

        Raises:
            CopyRemoved: it is another file than the map was for.
            sqlite3.Error, OSError: the copy can't be opened.
        """
        with self._at_rest:
            self._end_stream()
            connection = self._opened()
            here = position(connection, self._scope)
            if here is None:
                # It may be full of another scope's grants, and vouched for as such.
                self._file.shared.withdraw()
                self._refuse_former_map(connection)
            # The boot clock is read before the request is sent that the position goes into.
            self._stream = _Stream(here, self._clock.boot_ns())
            return here

    def take(self, frame: Frame) -> Position | None:
        """Take in the stream's next frame.

        Returns:
            The position that the copy is at by it; None if the frame isn't the last of its kind.

        Raises:
            BrokenFeed: such a frame makes no sense here.
            CopyRemoved: the copy's file isn't there any more.
            Unavailable: the copy was moved on by another process, or closed for a fork.
            sqlite3.Error: the copy can't be written.
        """
        with self._at_rest:
            stream = self._stream
            if stream is None:
                raise Unavailable("the stream was broken off")
            if isinstance(frame, Opening):
                self._open(stream, frame)
                return None
            if stream.opening is None:
                raise BrokenFeed("a feed begins with its opening")
            if isinstance(frame, Records):
                records = unpack(frame)
                self._refuse_endless(stream, records)
                self._moving(stream).put(records)
                return None
            return self._reach(stream, stream.opening, frame)

    def close(self) -> None:
        """Let go of the connection; what isn't committed is undone. A stream in the midst of a
        change is broken off, one at rest goes on."""
        with self._at_rest:
            self.let_go()

    def let_go(self) -> None:
        """What ``close`` does, for who holds *at_rest* already."""
        if self._stream is not None and self._stream.move is not None:
            self._end_stream()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self, stream: "_Stream", opening: Opening) -> None:
        if opening.protocol != PROTOCOL:
            raise BrokenFeed(f"the server speaks version {opening.protocol} of the feed's protocol")
        if stream.opening is not None or (stream.here is None and not opening.anew):
            raise BrokenFeed("a feed has one opening, and begins where it was asked to")
        stream.opening = opening
        stream.anew = opening.anew
        if opening.anew:
            # The histories have parted, or the copy was too far behind.
            self._file.shared.withdraw()
            _log.info("building the copy of the grants anew")

    def _refuse_endless(self, stream: "_Stream", records: Sequence[Record]) -> None:
        """A hostile or broken server must not fill the disk, nor keep a process at work for ever.

        Raises:
            BrokenFeed: it would.
        """
        now = time.monotonic()
        if stream.move is None:
            stream.moving_since, stream.unlooked = now, 0
        longest = LONGEST_SNAPSHOT_SECONDS if stream.anew else LONGEST_CHANGE_SECONDS
        if now - stream.moving_since > longest:
            raise BrokenFeed("the server's records don't come to an end; they were cut")
        stream.unlooked += sum(len(record[1]) + len(record[2] or b"") for record in records)
        if stream.unlooked < _LOOK_AT_DISK_EVERY_BYTES:
            return
        stream.unlooked = 0
        disk = shutil.disk_usage(self._file.path.parent)
        if disk.free < min(SPARED_BYTES, disk.total // 20):
            raise BrokenFeed(
                "the server's records would fill the disk; they were cut: "
                f"{disk.free >> 20} MiB are free"
            )

    def _moving(self, stream: "_Stream") -> Move:
        if stream.move is None:
            stream.move = Move(
                self._opened(), self._file, stream.here, anew=stream.anew, scope=self._scope
            )
        return stream.move

    def _reach(self, stream: "_Stream", opening: Opening, reached: Reached) -> Position:
        # Wall clock first: should we be suspended in between, it is early rather than late.
        wall_ms = self._clock.wall_ms()
        boot_ns = self._clock.boot_ns()
        asked_boot_ns = asked_here(stream.sent_boot_ns, opening, reached, boot_ns)
        asked_wall_ms = wall_ms + (asked_boot_ns - boot_ns) // 1_000_000
        shares_time = self._time.holds(told_ms(opening, reached), asked_boot_ns)
        self._look_after_file()
        there = (reached.revision, reached.tag)
        if stream.anew or stream.move is not None or there != stream.here:
            self._moving(stream).commit(there)
            stream.move, stream.anew, stream.here = None, False, there
        elif position(self._opened(), self._scope) != there:
            raise Unavailable("another process moved the copy on meanwhile")
        self._file.shared.reached(*there)
        if shares_time:
            self._file.shared.vouch(asked_boot_ns, asked_wall_ms, opening.staleness_ms)
        return there

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_copy(self._file.path)
            position(self._connection)
            self._inode = inode(os.stat(self._file.path))
            self._beside = side_files(self._file.path)
        return self._connection

    def _look_after_file(self) -> None:
        """Nobody reads a file that has no name any more: it must not be vouched for."""
        if self._inode is not None and not in_place(self._file.path, self._inode):
            raise CopyRemoved(f"{self._file.path} was removed or replaced")
        if self._connection is not None and side_files(self._file.path) != self._beside:
            # Who opens the copy now reads another state of it than who has it open.
            remove_copy(self._file.path)
            raise CopyRemoved(f"files beside {self._file.path} were removed or replaced")

    def _refuse_former_map(self, connection: sqlite3.Connection) -> None:
        """Other processes may still read the copy that the map was for; by the same map nothing
        else must be vouched for."""
        empty = not connection.execute("SELECT 1 FROM followed").fetchall()
        if empty and self._file.shared.position != NOWHERE:
            raise CopyRemoved(f"{self._file.path} was removed")

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and stream.move is not None:
            stream.move.undo()


class _Stream:
    """How far one stream has come.

    Attributes:
        here: the position it was asked for with, later the last one it has reached.
        sent_boot_ns: BOOT_CLOCK before it was asked for.
        anew: what comes until the first ``Reached`` is the whole.
        move: the transaction that takes in what comes, while there is one.
        moving_since: when that began (``time.monotonic``).
        unlooked: how many bytes came since the disk was looked at.
    """

    def __init__(self, here: Position | None, sent_boot_ns: int) -> None:
        self.here = here
        self.sent_boot_ns = sent_boot_ns
        self.opening: Opening | None = None
        self.anew = False
        self.move: Move | None = None
        self.moving_since = 0.0
        self.unlooked = 0
