"""What a node's follower copies from, where the registry is on PostgreSQL.

A connection of its own, in autocommit, that asks the primary and listens for changes.
"""

from collections.abc import Generator, Iterable
from typing import Any

import psycopg
from psycopg import IsolationLevel

from gatepass.registry import changes
from gatepass.registry.changes import Change, Position
from gatepass.registry.database import CHANGED_CHANNEL

# Everything asked here is small but for a snapshot; a connection that hangs is given up.
_SETTINGS = "SET statement_timeout = '60s'"
_PARAMETERS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "target_session_attrs": "read-write",
    "application_name": "gatepass follower",
}
_KNOWN = changes.known_sql("%s", "%s")
_CHANGES = changes.changes_sql("%(after)s")
# A snapshot is passed on as it comes: a million grants needn't fit in memory.
_ROWS_AT_ONCE = 5_000


class DatabaseFeed:
    """A follower's view of the registry (``verify.follower.Feed``).

    Args:
        url: the registry's ``postgresql://…`` URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._open: psycopg.Connection[tuple[Any, ...]] | None = None

    def heartbeat(self) -> int:
        """Commit something that waits for synchronous replicas; refuse a server in recovery. The
        primary's Unix time in milliseconds.

        A logical message needs no table and is written and replicated like any change: a demoted or
        isolated primary with synchronous replication can't commit it.
        """
        connection = self._connection()
        with connection.transaction():
            row = connection.execute(
                "SELECT pg_is_in_recovery(), "
                "CASE WHEN NOT pg_is_in_recovery() "
                "THEN pg_logical_emit_message(true, 'gatepass', 'heartbeat') END, "
                "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
            ).fetchone()
        if row is None or row[0]:
            raise psycopg.OperationalError("the server is in recovery: it is no primary")
        told_ms: int = row[2]
        return told_ms

    def changes(self, after: Position) -> tuple[Position, Iterable[Change]] | None:
        """All that changed after *after*, or None if this history doesn't know that position.

        One snapshot: a row that changed twice meanwhile is seen as it is at the position returned.
        """
        connection = self._connection()
        with connection.transaction():
            here = self._here(connection)
            if here == after:
                return here, ()
            if connection.execute(_KNOWN, after).fetchone() is None:
                return None
            return here, connection.execute(_CHANGES, {"after": after[0]}).fetchall()

    def snapshot(self) -> tuple[Position, Iterable[Change]]:
        """Every row, and the position it leads to. The rows come as they are asked for, within one
        transaction; ask for nothing else meanwhile."""
        rows = self._snapshot()
        here = next(rows)
        assert isinstance(here[0], int)
        return here, rows

    def _snapshot(self) -> Generator[Any, None, None]:
        connection = self._connection()
        with connection.transaction():
            yield self._here(connection)
            with connection.cursor("gatepass_snapshot") as cursor:
                cursor.itersize = _ROWS_AT_ONCE
                yield from cursor.execute(changes.SNAPSHOT)

    def wait(self, seconds: float) -> None:
        """Return when a change has committed, or after *seconds*."""
        for _ in self._connection().notifies(timeout=seconds, stop_after=1):
            pass

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @staticmethod
    def _here(connection: psycopg.Connection[tuple[Any, ...]]) -> Position:
        row = connection.execute(changes.HERE).fetchone()
        if row is None:
            raise psycopg.DataError("the registry has no revision: its schema isn't complete")
        return row[0], row[1]

    def _connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._open is None:
            given = psycopg.conninfo.conninfo_to_dict(self._url)
            connection = psycopg.connect(**{**_PARAMETERS, **given}, autocommit=True)
            connection.execute(_SETTINGS)
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.execute(f"LISTEN {CHANGED_CHANNEL}")
            self._open = connection
        return self._open
