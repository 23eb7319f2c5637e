"""The local SQLite file of grants, holders and company rules, keyed by id.

Every process of a node decides from it. On one machine it is the database itself; where the
registry is on PostgreSQL it is a copy that a follower keeps current. This module defines the three
tables for both engines; migrations and publishing use its statements.
"""

import json
import logging
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from os import getpid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.core.imported_keys import PREFIX_IDS
from gatepass.verify import forks
from gatepass.verify.freshness import SharedMap, in_place, inode

#: In the order in which a copy is filled: the tables that most calls need come first, and so lie in
#: the mapped part of a large file; the rest is read page by page.
TABLES = ("company_rules", "holders", "grants")

#: One statement per table, for sqlite3 and SQLAlchemy's ``text``: both accept ``:name``.
UPSERT = {
    table: (
        f"INSERT INTO {table} (id, record, revision) VALUES (:id, :record, :revision) "  # noqa: S608 - the names are the constants above
        "ON CONFLICT (id) DO UPDATE SET record = excluded.record, revision = excluded.revision"
    )
    for table in TABLES
}

REMOVE = {table: f"DELETE FROM {table} WHERE id = :id" for table in TABLES}  # noqa: S608 - the names are the constants above

#: A reader that is blocked for this long fails (503), so that a gateway doesn't wait.
READ_TIMEOUT_S = 0.1
# How long a fork waits for readers.
_LONGEST_READ_S = 1.0

_log = logging.getLogger("gatepass.grant_file")


def ddl(dialect: str) -> list[str]:
    """The statements that create the three tables.

    Args:
        dialect: ``sqlite`` (a grant file, or the whole database) or ``postgresql`` (the registry
            that followers copy from).
    """
    if dialect == "sqlite":
        return [
            f"CREATE TABLE {table} (id TEXT NOT NULL PRIMARY KEY, record BLOB NOT NULL, "
            "revision INTEGER NOT NULL) WITHOUT ROWID"
            for table in TABLES
        ]
    if dialect == "postgresql":
        return [
            f'CREATE TABLE {table} (id TEXT COLLATE "C" NOT NULL PRIMARY KEY, '
            "record BYTEA NOT NULL, revision BIGINT NOT NULL)"
            for table in TABLES
        ]
    raise ValueError(f"no grant tables for {dialect}")


class GrantFile:
    """One node's grant file, its shared map, and a read connection per thread.

    Args:
        path: the SQLite file. Beside it lie ``…-map``, ``…-lock`` and ``…-use/``.
        scope: the limits that a copy must have been made with, as its follower writes them. A copy
            with other limits can't be read. None: any.

    Raises:
        Misconfigured: the file belongs to another user. A command in a root shell would create
            files that the service can't write, so it is refused.
    """

    def __init__(self, path: Path, scope: str | None = None) -> None:
        self.path = path
        self._scope = scope
        refuse_foreign_owner(path)
        self.shared = SharedMap(path.with_name(path.name + "-map"))
        self.lock_path = path.with_name(path.name + "-lock")
        self.use_directory = path.with_name(path.name + "-use")
        self._local = threading.local()
        self._readers: weakref.WeakSet[_Reader] = weakref.WeakSet()
        # Held while a connection is opened, and during a fork.
        self._opening = threading.Lock()
        self._leaked: list[sqlite3.Cursor] = []
        self._opened: tuple[int, int] | None = None
        self._watched = 0
        # The statement for this file's position; "" if it has none, None if that isn't known yet.
        self._position: str | None = None
        forks.register(self)

    def writing(self) -> AbstractContextManager[None]:
        """Wrap a commit that changes grants, so that readers notice it at once."""
        return self.shared.committing()

    def record(self, table: str, key: str) -> bytes | None:
        """The stored bytes of one row, or None.

        Raises:
            Unavailable: the file can't be read.
        """
        rows = self._rows(_SELECT[table], (key,))
        return rows[0][0] if rows else None

    def records(self, table: str, keys: Sequence[str]) -> dict[str, bytes]:
        """The stored bytes of many rows by key, with one statement; those that exist.

        Raises:
            Unavailable: the file can't be read.
        """
        if not keys:
            return {}
        return dict(self._rows(_SELECT_MANY[table], (json.dumps(keys),)))

    def holder_and_rules(self, user: str, company: str) -> tuple[bytes | None, bytes | None]:
        """The stored bytes of a holder and of a company's rules, with one statement; None for a row
        that doesn't exist.

        Raises:
            Unavailable: the file can't be read.
        """
        ((holder, rules),) = self._rows(_SELECT_BOTH, (user, company))
        return holder, rules

    def imported_prefixes(self) -> tuple[str, ...]:
        """The prefixes of keys that companies imported (``core.imported_keys``).

        Raises:
            Unavailable: the file can't be read.
        """
        start = len(PREFIX_IDS[0])
        return tuple(row[0][start:] for row in self._rows(_SELECT_PREFIXES, PREFIX_IDS))

    def position(self) -> tuple[int, str] | None:
        """The (revision, tag) that the rows are of; None if the file doesn't say.

        Every commit that changes rows changes it. So rows that were read between two equal
        positions are still current.

        Raises:
            Unavailable: the file can't be read.
        """
        if self._position is None:
            tables = {name for (name,) in self._rows(_POSITION_TABLES, ())}
            self._position = next((sql for name, sql in _POSITIONS.items() if name in tables), "")
        rows = self._rows(self._position, ()) if self._position else []
        return (rows[0][0], rows[0][1]) if rows else None

    def _rows(self, statement: str, parameters: tuple[str, ...]) -> list[tuple[Any, ...]]:
        try:
            reader: _Reader = self._local.reader
        except AttributeError:
            reader = self._local.reader = _Reader()
        # Set before the cursor is read: before_fork takes the cursor away, then waits for readers.
        reader.reading = True
        if getpid() != forks.owner_pid:
            reader.reading = False
            forks.require_owner()
            reader.reading = True
        while (cursor := reader.cursor) is None:
            reader.reading = False
            self._connect(reader)
            reader.reading = True
        try:
            if reader.checked_at != self._watched:
                self._require_current(reader, cursor)
            # fetchall steps to the end: an unfinished cursor would pin an old snapshot.
            return cursor.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            self._local.__dict__.clear()
            raise Unavailable(f"the grant file can't be read: {error}") from error
        finally:
            reader.reading = False

    def _require_current(self, reader: "_Reader", cursor: sqlite3.Cursor) -> None:
        """Check that this connection reads the copy at the shared map's position, or later.

        If SQLite's side files were removed while in use, this process may read another state of the
        copy than the follower writes. The lease doesn't cover that state.
        """
        watched, (revision, tag) = self._watched, self.shared.position
        if reader.copy is None:
            reader.copy = bool(cursor.execute(_IS_COPY).fetchall())
        if reader.copy and (revision or self._scope is not None):
            rows = cursor.execute(_POSITION).fetchall()
            if rows and self._scope is not None and rows[0][2] != self._scope:
                self._local.__dict__.clear()
                raise Unavailable("the copy was made with other limits")
            if revision and (
                not rows or rows[0][0] < revision or (rows[0][0] == revision and rows[0][1] != tag)
            ):
                self._local.__dict__.clear()
                raise Unavailable("the grant file is behind the position that its lease covers")
        reader.checked_at = watched

    def watch(self) -> None:
        """Detect a removed or replaced file; call it about once a second.

        Open connections would still read the old file. They are dropped and the cache invalidated,
        so that the next read opens the new file, or fails if there is none.
        """
        self._watched += 1
        if self._opened is not None and not in_place(self.path, self._opened):
            _log.error("%s was removed or replaced while it was in use", self.path)
            self._opened = None
            self._position = None
            self._local = threading.local()
            self.shared.change_generation()

    def count(self, table: str = "grants") -> int:
        """The number of rows in a table, by a full scan."""
        try:
            connection = sqlite3.connect(self._read_only_uri, uri=True, timeout=READ_TIMEOUT_S)
            try:
                return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - one of TABLES
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise Unavailable(f"the grant file can't be read: {error}") from error

    @property
    def _read_only_uri(self) -> str:
        return f"file:{quote(str(self.path))}?mode=ro"

    def disconnect(self) -> None:
        """Close every thread's connection. Each opens a new one at its next read."""
        with self._opening:
            self._close_all()

    def before_fork(self) -> None:
        """Close every thread's connection, and allow no other until ``after_fork``."""
        self._opening.acquire()
        self._close_all()

    def _close_all(self) -> None:
        deadline = time.monotonic() + _LONGEST_READ_S
        for reader in list(self._readers):
            cursor, reader.cursor = reader.cursor, None
            while reader.reading and time.monotonic() < deadline:
                time.sleep(0.000_1)
            if reader.reading and cursor is not None:
                # Another thread is still using it, so closing it isn't safe.
                self._leaked.append(cursor)
            elif cursor is not None:
                cursor.connection.close()

    def after_fork(self) -> None:
        """Allow connections again."""
        self._opening.release()

    def after_fork_in_child(self) -> None:
        """Nothing: the child's threads open their own connections."""

    def _connect(self, reader: "_Reader") -> None:
        with self._opening:
            try:
                connection = sqlite3.connect(
                    self._read_only_uri,
                    uri=True,
                    timeout=READ_TIMEOUT_S,
                    isolation_level=None,
                    check_same_thread=False,
                )
                connection.execute("PRAGMA query_only = 1")
                # SQLite unmaps the file after every commit, and faulting the pages in again takes
                # longer than reading them.
                connection.execute("PRAGMA mmap_size = 0")
                state = os.stat(self.path)
            except OSError as error:
                raise Unavailable(f"the grant file can't be read: {error.strerror}") from error
            except sqlite3.Error as error:
                raise Unavailable(f"the grant file can't be read: {error}") from error
            self._opened = inode(state)
            reader.checked_at = -1
            reader.cursor = connection.cursor()
            self._readers.add(reader)


class _Reader:
    """A thread's connection.

    Attributes:
        cursor: of the connection; None while there is none.
        reading: whether the thread uses the cursor, or is about to.
        copy: whether the file is a follower's copy; None while unknown.
        checked_at: the number of ``watch`` calls at which its position was last checked.
    """

    def __init__(self) -> None:
        self.cursor: sqlite3.Cursor | None = None
        self.reading = False
        self.copy: bool | None = None
        self.checked_at = -1


_SELECT_PREFIXES = "SELECT id FROM grants WHERE id >= ? AND id < ?"
_IS_COPY = "SELECT 1 FROM sqlite_master WHERE name = 'followed'"
_POSITION = "SELECT revision, tag, scope FROM followed WHERE id = 1"
_POSITION_TABLES = "SELECT name FROM sqlite_master WHERE name IN ('followed', 'revision')"
_POSITIONS = {
    "followed": "SELECT revision, tag FROM followed WHERE id = 1",
    "revision": "SELECT number, tag FROM revision WHERE id = 1",
}
_SELECT_BOTH = (
    "SELECT (SELECT record FROM holders WHERE id = ?), "
    "(SELECT record FROM company_rules WHERE id = ?)"
)
_SELECT_MANY = {
    table: f"SELECT id, record FROM {table} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - the names are the constants above
    for table in TABLES
}
_SELECT = {table: f"SELECT record FROM {table} WHERE id = ?" for table in TABLES}  # noqa: S608 - the names are the constants above


def refuse_foreign_owner(path: Path) -> None:
    """Raise Misconfigured if *path* exists and belongs to another user.

    Doesn't open the file: closing any descriptor of a SQLite file drops all locks that this process
    holds on it.
    """
    try:
        owner = os.stat(path).st_uid
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise Misconfigured(f"there is no directory {path.parent}") from None
        return
    except OSError as error:
        raise Misconfigured(f"{path} can't be read: {error.strerror}") from error
    if owner != os.geteuid():
        raise Misconfigured(f"{path} belongs to another user; run as its owner")
