"""Copies of the grants, as a node with PostgreSQL or an embedded verifier has them."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from gatepass.core.routes import Routes
from gatepass.registry.storage.database import Database
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import TABLES, GrantFile
from gatepass.verify.replica.database_follower import Feed, Follower
from gatepass.verify.replica.grant_copy import Position, open_copy
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import Clocks, reason, until_decided
from tests.support.waiting import LIMIT_S, until

#: (table, id) -> (record, revision)
Rows = dict[tuple[str, str], tuple[bytes, int]]


class CopyReader:
    """A copy of the grants, and a verifier in another process that reads it.

    Attributes:
        connection: of the process that writes the copy.
        clocks: of both processes.
    """

    def __init__(self, path: Path, clocks: Clocks) -> None:
        self.clocks = clocks
        self.file = GrantFile(path)
        self.connection = open_copy(path)
        self.reopen()

    def reopen(self) -> None:
        """Replace the verifier, as a process that starts now has it."""
        path, clock = self.file.path, self.clocks.clock()
        self.verifier = Verifier(GrantFile(path), clock, Routes([]), copy=True)

    def reason(self, text: str) -> str:
        return reason(self.verifier, text)

    def rows(self) -> Rows:
        """All grants, holders and company rules of the copy."""
        return file_rows(self.file.path)


class FollowedCopy:
    """Follows a registry in a thread, by the machine's clocks; a context manager that stops it.

    Args:
        path: of the copy.
        feed: of the registry.
        staleness_ms: the length of its lease.

    Attributes:
        divergences: the positions the primary didn't know, each with the one it was at.
        verifier: reads the copy.
    """

    def __init__(self, path: Path, feed: Feed, staleness_ms: int = 10_000) -> None:
        self.file = GrantFile(path)
        open_copy(path).close()
        self.clock = Clock()
        self.verifier = Verifier(self.file, Clock(), Routes([]), copy=True)
        self.divergences: list[tuple[Position, Position]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=Follower(
                self.file,
                self.clock,
                staleness_ms,
                lambda copy, there: self.divergences.append((copy, there)),
            ).follow,
            args=(feed, lambda: not self._stopped.is_set()),
        )

    def __enter__(self) -> "FollowedCopy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    @property
    def fresh(self) -> bool:
        """Whether its lease is still valid."""
        return self.file.shared.is_fresh(self.clock.boot_ns(), self.clock.wall_ms())

    def rows(self) -> Rows:
        """All grants, holders and company rules of the copy."""
        return file_rows(self.file.path)

    def until_decided(self, text: str, expected: str) -> None:
        """Wait until the decision about *text* has that reason."""
        until_decided(self.verifier, text, expected)

    def until_at(self, revision: int) -> None:
        """Wait until the copy has reached *revision*."""
        until(lambda: self.file.shared.revision >= revision)


def file_rows(path: Path) -> Rows:
    """All grants, holders and company rules of a grant file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {
            (table, key): (record, revision)
            for table in TABLES
            for key, record, revision in connection.execute(
                f"SELECT id, record, revision FROM {table}"
            )
        }


def published(database: Database) -> Rows:
    """All grants, holders and company rules of the registry."""
    with database.read(0) as reading:
        connection = reading.session.connection()
        return {
            (table, key): (bytes(record), revision)
            for table in TABLES
            for key, record, revision in connection.exec_driver_sql(
                f"SELECT id, record, revision FROM {table}"
            )
        }
