"""The local SQLite file of grants, holders and company rules, keyed by id.

Every process of a node decides from it. On one machine it is the database itself; where the
registry is on PostgreSQL it is a copy that a follower keeps current. This module owns the three
tables' definition; migrations and publishing call it, whatever the engine.
"""

import logging
import os
import sqlite3
import threading
import time
import weakref
from contextlib import AbstractContextManager
from os import getpid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.verify import forks
from gatepass.verify.freshness import SharedMap

#: In the order a copy is filled in: what most calls need comes first, and so lies in the part of a
#: large file that is mapped; the rest is read page by page.
TABLES = ("company_rules", "holders", "grants")

#: One statement a table, for sqlite3 and for SQLAlchemy's ``text``: both know ``:name``.
UPSERT = {
    table: (
        f"INSERT INTO {table} (id, record, revision) VALUES (:id, :record, :revision) "  # noqa: S608 - the names are the constants above
        "ON CONFLICT (id) DO UPDATE SET record = excluded.record, revision = excluded.revision"
    )
    for table in TABLES
}

REMOVE = {table: f"DELETE FROM {table} WHERE id = :id" for table in TABLES}  # noqa: S608 - the names are the constants above

#: A reader that can't read for this long says so (503) rather than keep a gateway waiting.
READ_TIMEOUT_S = 0.1
# Who forks waits for readers this long.
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
    """One node's file, its shared map, and connections to read it.

    Args:
        path: the SQLite file. Beside it lie ``…-map``, ``…-lock`` and ``…-use/``.
        scope: what a copy has to be limited to, in its follower's words; one that is limited
            otherwise decides nothing here. None where there is no such thing.

    Raises:
        Misconfigured: it belongs to another user: a root shell that made files the service can't
            write would stop it, so such a command refuses.
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
        # Held by who opens a connection, and by who forks.
        self._opening = threading.Lock()
        self._abandoned: list[sqlite3.Cursor] = []
        self._opened: tuple[int, int] | None = None
        self._round = 0
        forks.see_to(self)

    def writing(self) -> AbstractContextManager[None]:
        """Wrap a commit that changes grants: readers notice it the moment it is done."""
        return self.shared.moving()

    def record(self, table: str, key: str) -> bytes | None:
        """The stored bytes of one row, or None.

        Raises:
            Unavailable: the file can't be read.
        """
        rows = self._rows(_SELECT[table], (key,))
        return rows[0][0] if rows else None

    def holder_and_rules(self, user: str, company: str) -> tuple[bytes | None, bytes | None]:
        """The stored bytes of a holder and of a company's rules, in one look; None for what isn't
        there.

        Raises:
            Unavailable: the file can't be read.
        """
        ((holder, rules),) = self._rows(_SELECT_BOTH, (user, company))
        return holder, rules

    def _rows(self, statement: str, parameters: tuple[str, ...]) -> list[tuple[Any, ...]]:
        try:
            reader: _Reader = self._local.reader
        except AttributeError:
            reader = self._local.reader = _Reader()
        # Said before the cursor is taken: who forks takes the cursor, and then waits for us.
        reader.reading = True
        if getpid() != forks.home:
            reader.reading = False
            forks.arrive()
            reader.reading = True
        while (cursor := reader.cursor) is None:
            reader.reading = False
            self._connect(reader)
            reader.reading = True
        try:
            if reader.round != self._round:
                self._require_current(reader, cursor)
            # Stepped to its end: an unfinished cursor would pin an old snapshot.
            return cursor.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            self._local.__dict__.clear()
            raise Unavailable(f"the grant file can't be read: {error}") from error
        finally:
            reader.reading = False

    def _require_current(self, reader: "_Reader", cursor: sqlite3.Cursor) -> None:
        """A copy has to be where the shared map says it is, at this connection too.

        Where files of SQLite's were removed while they were in use, one process reads another state
        of the copy than the one that is kept current, and its stamp must not count for that.
        """
        round_, (revision, tag) = self._round, self.shared.position
        if reader.copy is None:
            reader.copy = bool(cursor.execute(_IS_COPY).fetchall())
        if reader.copy and (revision or self._scope is not None):
            rows = cursor.execute(_POSITION).fetchall()
            if rows and self._scope is not None and rows[0][2] != self._scope:
                self._local.__dict__.clear()
                raise Unavailable("the copy is limited to something else than was asked for")
            if revision and (
                not rows or rows[0][0] < revision or (rows[0][0] == revision and rows[0][1] != tag)
            ):
                self._local.__dict__.clear()
                raise Unavailable("the grant file isn't at the place it is vouched for at")
        reader.round = round_

    def watch(self) -> None:
        """Notice a file that was removed or replaced; call it about once a second.

        Open connections would go on reading what no longer has a name. They are given up, and what
        was cached is void: the next reader finds the new file, or that there is none.
        """
        self._round += 1
        opened = self._opened
        try:
            there = os.stat(self.path)
        except OSError:
            there = None
        if opened is not None and (there is None or (there.st_dev, there.st_ino) != opened):
            _log.error("%s was removed or replaced while it was in use", self.path)
            self._opened = None
            self._local = threading.local()
            self.shared.move()

    def count(self, table: str = "grants") -> int:
        """How many rows a table has (a full count; not for the hot path)."""
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

    def before_fork(self) -> None:
        """Close every thread's connection; each opens another when it reads again."""
        self._opening.acquire()
        deadline = time.monotonic() + _LONGEST_READ_S
        for reader in list(self._readers):
            cursor, reader.cursor = reader.cursor, None
            while reader.reading and time.monotonic() < deadline:
                time.sleep(0.000_1)
            if reader.reading and cursor is not None:
                # Closing it now would act on what another thread is in the midst of.
                self._abandoned.append(cursor)
            elif cursor is not None:
                cursor.connection.close()

    def after_fork(self) -> None:
        """Let connections be opened again."""
        self._opening.release()

    def forked(self) -> None:
        """Nothing more: a child opens its own."""

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
                # Mapped memory is unmapped by SQLite after every commit, and to fault it in again
                # takes longer than reading does.
                connection.execute("PRAGMA mmap_size = 0")
                state = os.stat(self.path)
            except OSError as error:
                raise Unavailable(f"the grant file can't be read: {error.strerror}") from error
            except sqlite3.Error as error:
                raise Unavailable(f"the grant file can't be read: {error}") from error
            self._opened = (state.st_dev, state.st_ino)
            reader.round = -1
            reader.cursor = connection.cursor()
            self._readers.add(reader)


class _Reader:
    """A thread's connection.

    Attributes:
        cursor: of the connection; None while there is none.
        reading: whether the thread is about to use it, or at it.
        copy: whether the file is a follower's copy; None until it was looked at.
        round: of ``watch``, in which it was last seen to be where it is vouched for.
    """

    def __init__(self) -> None:
        self.cursor: sqlite3.Cursor | None = None
        self.reading = False
        self.copy: bool | None = None
        self.round = -1


_IS_COPY = "SELECT 1 FROM sqlite_master WHERE name = 'followed'"
_POSITION = "SELECT revision, tag, scope FROM followed WHERE id = 1"
_SELECT_BOTH = (
    "SELECT (SELECT record FROM holders WHERE id = ?), "
    "(SELECT record FROM company_rules WHERE id = ?)"
)
_SELECT = {table: f"SELECT record FROM {table} WHERE id = ?" for table in TABLES}  # noqa: S608 - the names are the constants above


def refuse_foreign_owner(path: Path) -> None:
    """Raise Misconfigured if *path* exists and isn't this user's. Doesn't open it: closing any
    descriptor of a SQLite file drops the locks this process holds on it."""
    try:
        owner = os.stat(path).st_uid
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise Misconfigured(f"there is no directory {path.parent}") from None
        return
    except OSError as error:
        raise Misconfigured(f"{path} can't be looked at: {error.strerror}") from error
    if owner != os.geteuid():
        raise Misconfigured(f"{path} belongs to another user; run as its owner")
