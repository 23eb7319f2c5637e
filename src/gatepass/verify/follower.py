"""Keeps a node's copy of the grants current from a feed, and vouches for it.

One process per node follows (whoever holds the lock file); the others only read. The protocol, and
why each step is as it is, stands in docs/architecture.md; in short:

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
from gatepass.verify.freshness import open_own_file
from gatepass.verify.grant_file import REMOVE, TABLES, UPSERT, GrantFile, ddl

#: The net under the wake-up calls: a change is seen after this long even if none arrives.
POLL_SECONDS = 0.4
_RETRY_SECONDS = 0.5

_log = logging.getLogger("gatepass.follower")


#: A place in one history: (revision, tag). The tag is random for each revision.
Position = tuple[int, str]
#: One row as it is after a revision: (table, id, record, revision). Without a record it is gone.
Change = tuple[str, str, bytes | None, int]


class Feed(Protocol):
    """Where changes come from. Every method may raise any exception: the follower tries again."""

    def heartbeat(self) -> int:
        """Commit something at the primary; raise if it isn't one, or can't. Its Unix time in
        milliseconds, read on the way."""

    def changes(self, after: Position) -> tuple[Position, Iterable[Change]] | None:
        """All that changed after *after*, by (revision, id), and the position it leads to, in one
        snapshot; None if the primary doesn't know that position."""

    def snapshot(self) -> tuple[Position, Iterable[Change]]:
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
        self._descriptor = open_own_file(path)
        self.held = False

    def take(self) -> bool:
        """Try to take it, without waiting; whether this process has it."""
        if not self.held:
            with suppress(BlockingIOError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.held = True
        return self.held

    def close(self) -> None:
        """Give it back."""
        os.close(self._descriptor)
        self.held = False


class Follower:
    """Copies what changed into the local file.

    Args:
        file: the copy.
        clock: both clocks of this process.
        staleness_ms: MAX_STALENESS in milliseconds.
    """

    def __init__(self, file: GrantFile, clock: Clock, staleness_ms: int) -> None:
        self._file = file
        self._clock = clock
        self._staleness_ms = staleness_ms
        self._shares_time = True

    def follow(self, feed: Feed, running: Callable[[], bool]) -> None:
        """Follow until *running* says no; an outage is waited out while the stamp runs down."""
        while running():
            try:
                # Opened anew after every interruption: a disk's error can outlast a connection.
                with closing(open_copy(self._file.path)) as connection:
                    while running():
                        self.round(connection, feed)
                        feed.wait(POLL_SECONDS)
            except Exception as error:
                _log.warning("following is interrupted: %s", type(error).__name__)
                _close(feed)
                _sleep(_RETRY_SECONDS, running)
        _close(feed)

    def round(self, connection: sqlite3.Connection, feed: Feed) -> None:
        """One step of the protocol: ask, apply, vouch."""
        asked_boot_ns, asked_wall_ms = self._clock.boot_ns(), self._clock.wall_ms()
        shares_time = self._shares(feed.heartbeat(), asked_boot_ns)
        here = position(connection)
        ahead = feed.changes(here) if here is not None else None
        if ahead is None:
            self._file.shared.withdraw()
            _log.warning("building the copy of the grants anew")
            there, rows = feed.snapshot()
            self._apply(connection, here, there, rows, anew=True)
        else:
            there, rows = ahead
            if there != here:
                self._apply(connection, here, there, rows, anew=False)
        self._file.shared.reached(*there)
        if shares_time:
            self._file.shared.vouch(asked_boot_ns, asked_wall_ms, self._staleness_ms)

    def _shares(self, told_ms: int, asked_boot_ns: int) -> bool:
        """Whether this node may be vouched for as far as its clock is concerned."""
        shares = self._clock.shares(told_ms, asked_boot_ns)
        if shares is False:
            self._file.shared.withdraw()
            if self._shares_time:
                _log.error(
                    "this machine's clock and the primary's are %.1f s apart; not ready until they "
                    "agree",
                    abs(self._clock.now() - told_ms) / 1000,
                )
        if shares is not None:
            self._shares_time = shares
        return bool(shares)

    def _apply(
        self,
        connection: sqlite3.Connection,
        here: Position | None,
        there: Position,
        rows: Iterable[Change],
        *,
        anew: bool,
    ) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if position(connection) != here:
                # A process that was suspended over the loss of its lock must not put the copy back.
                raise Unavailable("another process moved the copy on meanwhile")
            if anew:
                for table in TABLES:
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of TABLES
            for table, key, record, revision in rows:
                if record is None:
                    connection.execute(REMOVE[table], {"id": key})
                else:
                    connection.execute(
                        UPSERT[table], {"id": key, "record": record, "revision": revision}
                    )
            connection.execute(
                "INSERT OR REPLACE INTO followed (id, revision, tag) VALUES (1, ?, ?)", there
            )
            with self._file.writing():
                connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def open_copy(path: Path) -> sqlite3.Connection:
    """Open a copy for writing, and make its tables if it is new.

    A copy needn't survive a power cut whole (it is rebuilt from its own position), so it syncs
    less often than a registry does.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    os.chmod(path, 0o600)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'followed'").fetchall()
    if not made:
        for statement in ddl("sqlite"):
            connection.execute(statement)
        connection.execute(
            "CREATE TABLE followed (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, "
            "tag TEXT NOT NULL)"
        )
    connection.execute("COMMIT")
    return connection


def position(connection: sqlite3.Connection) -> Position | None:
    """Where a copy stands; None while it is empty."""
    rows = connection.execute("SELECT revision, tag FROM followed WHERE id = 1").fetchall()
    return (rows[0][0], rows[0][1]) if rows else None


def _close(feed: Feed) -> None:
    # Whatever a broken connection says while it is let go of, following goes on.
    with suppress(Exception):
        feed.close()


def _sleep(seconds: float, running: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while running() and time.monotonic() < end:
        time.sleep(0.05)
