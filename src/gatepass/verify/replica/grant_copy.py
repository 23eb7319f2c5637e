"""A copy of the grants as its follower has it: open to be written, at a place in one history.

Whoever follows moves a copy on with ``Move``: a node from its database (``follower``), a process
that embeds Gatepass from a stream (``streamed_copy``).
"""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from gatepass.core.errors import Unavailable
from gatepass.verify.freshness import inode
from gatepass.verify.grant_file import TABLES, GrantFile, ddl

#: A place in one history: (revision, tag). The tag is random for each revision.
Position = tuple[int, str]
#: One row as it is after a revision: (table, id, record, revision). Without a record it is gone.
ChangedRow = tuple[str, str, bytes | None, int]

# By place, the table's name left out: a million rows are written from the tuples they came as.
_PUT = {
    table: f"INSERT OR REPLACE INTO {table} (id, record, revision) VALUES (?2, ?3, ?4)"  # noqa: S608 - the grant file's own table names
    for table in TABLES
}
_BESIDE = ("-wal", "-shm")
_REMOVE = {table: f"DELETE FROM {table} WHERE id = ?" for table in TABLES}  # noqa: S608 - the grant file's own table names


def open_copy(path: Path) -> sqlite3.Connection:
    """Open a copy for writing, and make its tables if it is new.

    A copy needn't survive a power cut whole (it is rebuilt from its own position), so it syncs
    less often than a registry does.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    try:
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
                "tag TEXT NOT NULL, scope TEXT NOT NULL)"
            )
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def side_files(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """What tells SQLite's files beside a copy from others of the same names; None where there is
    none. They stay the same for as long as anyone has the copy open."""
    found: list[tuple[int, int] | None] = []
    for suffix in _BESIDE:
        try:
            found.append(inode(os.stat(f"{path}{suffix}")))
        except OSError:
            found.append(None)
    return tuple(found)


def remove_copy(path: Path) -> None:
    """Remove a copy that lost the files beside it: what they held is in it in part, or not at all,
    and whoever opens it from now on must not take it for the whole."""
    for suffix in ("", *_BESIDE):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def position(connection: sqlite3.Connection, scope: str = "") -> Position | None:
    """Where a copy stands; None while it is empty, or holds another *scope* than this."""
    rows = connection.execute(
        "SELECT revision, tag FROM followed WHERE id = 1 AND scope = ?", (scope,)
    ).fetchall()
    return (rows[0][0], rows[0][1]) if rows else None


class Move:
    """One transaction that takes a copy from *here* to its next position. Readers see nothing of it
    before its end, and nothing at all of one that broke off.

    Args:
        here: where the copy stands.
        anew: what is put is the whole; all else is removed.
        scope: what the copy is limited to, in words of whoever follows; empty if it isn't.

    Raises:
        Unavailable: the copy stands elsewhere: a process that was suspended over the loss of its
            lock must not put it back.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        file: GrantFile,
        here: Position | None,
        *,
        anew: bool,
        scope: str = "",
    ) -> None:
        self._connection = connection
        self._file = file
        self._scope = scope
        connection.execute("BEGIN IMMEDIATE")
        try:
            if position(connection, scope) != here:
                raise Unavailable("another process moved the copy on meanwhile")
            if anew:
                for table in TABLES:
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - one of TABLES
        except BaseException:
            self.undo()
            raise

    def put(self, changes: Iterable[ChangedRow]) -> None:
        """Write some rows, in their order."""
        for (table, gone), rows in groupby(changes, _kind):
            if gone:
                self._connection.executemany(_REMOVE[table], [(key,) for _, key, _, _ in rows])
            else:
                self._connection.executemany(_PUT[table], rows)

    def commit(self, there: Position) -> None:
        """End it: from now on the copy is at *there*, for every process at once."""
        self._connection.execute(
            "INSERT OR REPLACE INTO followed (id, revision, tag, scope) VALUES (1, ?, ?, ?)",
            (*there, self._scope),
        )
        with self._file.writing():
            self._connection.execute("COMMIT")

    def undo(self) -> None:
        """Break it off."""
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")


def _kind(change: ChangedRow) -> tuple[str, bool]:
    return change[0], change[2] is None
