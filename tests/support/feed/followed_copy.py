"""A copy that a follower keeps current, as on a node with PostgreSQL."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage.database import Database
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import TABLES, GrantFile
from gatepass.verify.replica.database_follower import Follower
from gatepass.verify.replica.grant_copy import Position, open_copy
from tests.support.waiting import until

#: (table, id) -> (record, revision)
Rows = dict[tuple[str, str], tuple[bytes, int]]


class FollowedCopy:
    """Follows the registry at *url* in a thread; a context manager that stops it.

    Args:
        path: of the copy.
        staleness_ms: the length of its lease.

    Attributes:
        divergences: the positions the primary didn't know, each with the one it was at.
    """

    def __init__(self, path: Path, url: str, staleness_ms: int = 10_000) -> None:
        self.file = GrantFile(path)
        open_copy(path).close()
        self.clock = Clock()
        self.divergences: list[tuple[Position, Position]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=Follower(
                self.file,
                self.clock,
                staleness_ms,
                lambda copy, there: self.divergences.append((copy, there)),
            ).follow,
            args=(DatabaseFeed(url), lambda: not self._stopped.is_set()),
        )

    def __enter__(self) -> "FollowedCopy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=15)
        assert not self._thread.is_alive()

    @property
    def fresh(self) -> bool:
        """Whether its lease is still valid."""
        return self.file.shared.is_fresh(self.clock.boot_ns(), self.clock.wall_ms())

    def rows(self) -> Rows:
        """All grants, holders and company rules of the copy."""
        return file_rows(self.file.path)

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
