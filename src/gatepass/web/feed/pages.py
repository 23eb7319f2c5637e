"""A snapshot for a new follower: the local grant file, read page by page.

Each page is a short read transaction of its own, by key, so that a slow follower holds no
transaction open and none covers more than a few thousand rows. All changes since the position
before the first page follow afterwards (``source``). Both together are exact.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gatepass.core.errors import Unavailable
from gatepass.registry.storage.revisions import Position
from gatepass.verify.grant_file import READ_TIMEOUT_S, TABLES
from gatepass.web.feed.chunking import chunks

Row = tuple[str, str, bytes, int]


class Pages:
    """Reads a grant file from its beginning to its end.

    Args:
        path: the grant file.
        copy: whether it is a follower's copy, or the database itself.

    Raises:
        Unavailable: the file can't be read, now or later, or is empty.
    """

    def __init__(self, path: Path, *, copy: bool) -> None:
        self._position = (
            "SELECT revision, tag FROM followed WHERE id = 1"
            if copy
            else "SELECT number, tag FROM revision WHERE id = 1"
        )
        self._turn = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro",
                uri=True,
                timeout=READ_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            raise Unavailable(f"the grant file can't be read: {error}") from error
        try:
            #: The file's position before the first page.
            self.first = self._where()
        except BaseException:
            self.close()
            raise
        self._pages = self._read()

    def next(self) -> list[Row] | None:
        """The next page; None after the last."""
        with self._turn:
            return next(self._pages, None)

    def close(self) -> None:
        """Close the file, after the page in progress."""
        with self._turn:
            self._connection.close()

    def _read(self) -> Iterator[list[Row]]:
        for table in TABLES:
            after = ""
            while page := self._page(table, after):
                yield page
                after = page[-1][1]

    def _page(self, table: str, after: str) -> list[Row]:
        try:
            self._connection.execute("BEGIN")
            try:
                # A copy that was removed and is being filled again is no snapshot.
                self._where()
                rows = self._connection.execute(_PAGE[table], (after,))
                # Close the cursor before the end of the rows: an open one would block the commit.
                with closing(rows):
                    return next(chunks((table, *row) for row in rows), [])
            finally:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable(f"the grant file can't be read: {error}") from error

    def _where(self) -> Position:
        try:
            rows = self._connection.execute(self._position).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the grant file can't be read: {error}") from error
        if not rows:
            raise Unavailable("this node has no grants yet", reason="stale")
        return rows[0][0], rows[0][1]


_PAGE = {
    table: f"SELECT id, record, revision FROM {table} WHERE id > ? ORDER BY id"  # noqa: S608 - the grant file's own table names
    for table in TABLES
}
