"""A copy of the grants as its follower writes it: at one position in one history.

A follower advances a copy with ``CopyTransaction``: a node's from its database
(``database_follower``), an embedding application's from a stream (``streamed_copy``).
"""

import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.verify.freshness import inode
from gatepass.verify.grant_file import TABLES, GrantFile, ddl

#: A position in one history: (revision, tag). Each revision has a random tag.
Position = tuple[int, str]
#: One row after a revision: (table, id, record, revision). The record of a deleted row is None.
ChangedRow = tuple[str, str, bytes | None, int]

# Positional parameters that skip the table's name: a million rows are written from the tuples they
# were read as.
_UPSERT = {
    table: f"INSERT OR REPLACE INTO {table} (id, record, revision) VALUES (?2, ?3, ?4)"  # noqa: S608 - the grant file's own table names
    for table in TABLES
}
_DELETE = {table: f"DELETE FROM {table} WHERE id = ?" for table in TABLES}  # noqa: S608 - the grant file's own table names
_SIDE_SUFFIXES = ("-wal", "-shm")
_CREATION_SECONDS = 5


def open_copy(path: Path) -> sqlite3.Connection:
    """Open a copy for writing; create its tables if it is new.

    Only a new copy needs the write lock: a follower that loads a full snapshot holds it for long.
    Less durable than a registry: after a power cut the copy is rebuilt from its last position.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    try:
        os.chmod(path, 0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if not _is_made(connection):
            connection.execute("BEGIN IMMEDIATE")
            if not _is_made(connection):
                for statement in ddl("sqlite"):
                    connection.execute(statement)
                connection.execute(
                    "CREATE TABLE followed (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, "
                    "tag TEXT NOT NULL, scope TEXT NOT NULL)"
                )
            connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def make_copy(path: Path) -> None:
    """Create an empty copy if there is none: readers don't create files.

    Raises:
        Misconfigured: the file can't be opened, or isn't a copy.
    """
    deadline = time.monotonic() + _CREATION_SECONDS
    while True:
        try:
            open_copy(path).close()
            return
        except sqlite3.OperationalError as error:
            # Another process of the service is creating it.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise Misconfigured(f"{path} can't be opened: {error}") from error
            time.sleep(0.02)
        except sqlite3.Error as error:
            raise Misconfigured(
                f"{path} isn't a copy of grants ({error}): remove it, and it is built again"
            ) from error


def _is_made(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'followed'")
    return bool(found.fetchall())


def side_files(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """The inodes of SQLite's side files of a copy; None for an absent one.

    They stay the same while any process has the copy open.
    """
    found: list[tuple[int, int] | None] = []
    for suffix in _SIDE_SUFFIXES:
        try:
            found.append(inode(os.stat(f"{path}{suffix}")))
        except OSError:
            found.append(None)
    return tuple(found)


def remove_copy(path: Path) -> None:
    """Remove a copy that lost its side files.

    The copy lacks some or all of what they held, so no process may open it as a complete one.
    """
    for suffix in ("", *_SIDE_SUFFIXES):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def position(connection: sqlite3.Connection, scope: str = "") -> Position | None:
    """The copy's position; None if it is empty or was made with a *scope* other than this."""
    rows = connection.execute(
        "SELECT revision, tag FROM followed WHERE id = 1 AND scope = ?", (scope,)
    ).fetchall()
    return (rows[0][0], rows[0][1]) if rows else None


class CopyTransaction:
    """One transaction that takes a copy from *here* to its next position.

    Readers see nothing of it before ``commit``, and never anything of one that was rolled back.

    Args:
        here: the copy's position.
        full: replace all rows of the copy by the ones that are written.
        scope: the limits of the copy, as its follower writes them; empty for a complete copy.

    Raises:
        Unavailable: the copy is at another position. A process that was suspended while it lost the
            lock must not take the copy back to an earlier position.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        file: GrantFile,
        here: Position | None,
        *,
        full: bool,
        scope: str = "",
    ) -> None:
        self._connection = connection
        self._file = file
        self._scope = scope
        connection.execute("BEGIN IMMEDIATE")
        try:
            if position(connection, scope) != here:
                raise Unavailable("another process has advanced the copy")
            if full:
                for table in TABLES:
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of TABLES
        except BaseException:
            self.rollback()
            raise

    def write(self, changes: Iterable[ChangedRow]) -> None:
        """Write *changes*, in order."""
        for (table, deleted), rows in groupby(changes, _kind):
            if deleted:
                self._connection.executemany(_DELETE[table], [(key,) for _, key, _, _ in rows])
            else:
                self._connection.executemany(_UPSERT[table], rows)

    def commit(self, there: Position) -> None:
        """Commit; every process reads the copy at *there* from now on."""
        self._connection.execute(
            "INSERT OR REPLACE INTO followed (id, revision, tag, scope) VALUES (1, ?, ?, ?)",
            (*there, self._scope),
        )
        with self._file.writing():
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo what was written."""
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")


def _kind(change: ChangedRow) -> tuple[str, bool]:
    return change[0], change[2] is None
