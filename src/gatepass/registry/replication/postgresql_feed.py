"""What a node's follower copies from, where the registry is on PostgreSQL.

A connection of its own that asks the primary and listens for changes. It works behind a pooler in
transaction mode too: nothing it needs is set for longer than a transaction. ``LISTEN`` says nothing
there, and the follower's short poll is the net.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from gatepass.registry.replication.liveness import (
    HEARTBEAT,
    IN_TOUCH,
    MEET,
    WAIT_FOR_CHANGES,
    Presence,
)
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import CHANGED_CHANNEL
from gatepass.registry.storage.revisions import ChangedRow, Position
from gatepass.registry.storage.silent_server import connect

# In one round trip with what is asked. Whatever the server's own limits are, a follower that
# applies a long snapshot while it comes is no idler; one that froze is thrown out in the end.
_LIMITS = (
    "SET LOCAL synchronous_commit = on; "
    "SET LOCAL statement_timeout = '60s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '60s'; "
)
_BEGIN = f"BEGIN ISOLATION LEVEL REPEATABLE READ; {_LIMITS}"
# Others write to the same rows at the same time.
_BEGIN_WRITING = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LIMITS}"
# Committed, so that it waits for synchronous replicas.
_HEARTBEAT = (
    "SELECT pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000)::bigint, "
    "CASE WHEN NOT pg_is_in_recovery() "
    "THEN pg_logical_emit_message(true, 'gatepass', 'heartbeat') END"
)
# PostgreSQL 17 has a limit that others don't know the name of.
_TAKE_LONG = (
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout'"
)
_PARAMETERS: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": 4000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "target_session_attrs": "read-write",
    "application_name": "gatepass follower",
    "prepare_threshold": None,
}
# Less than others have: there must be time left to ask another host before the stamp runs out.
_PATIENCE_S = 4.0
_KNOWN = revisions.known_sql("%s", "%s")
_CHANGES = revisions.changes_sql("%(after)s")
# A snapshot is passed on as it comes: a million grants needn't fit in memory.
_ROWS_AT_ONCE = 5_000

_Connection = psycopg.Connection[tuple[Any, ...]]


class DatabaseFeed:
    """A follower's view of the registry (``verify.replica.database_follower.Feed``).

    Every method raises psycopg's errors; the connection is given up then, and the next call opens
    another: to whichever of several hosts is the primary.

    Args:
        url: the registry's ``postgresql://…`` URL.
        presence: who follows; nobody is counted who follows without one.
    """

    def __init__(self, url: str, presence: Presence | None = None) -> None:
        self._url = url
        self._presence = presence
        self._heartbeat = f"{_BEGIN_WRITING}{_HEARTBEAT}; COMMIT"
        if presence is not None:
            there = sql.SQL(f", {IN_TOUCH}; {HEARTBEAT}").format(id=sql.Literal(presence.id))
            self._heartbeat = f"{_BEGIN_WRITING}{_HEARTBEAT}{there.as_string()}; COMMIT"
        self._open: _Connection | None = None

    def heartbeat(self) -> int:
        """Commit something that waits for synchronous replicas; refuse a server in recovery. The
        primary's Unix time in milliseconds.

        A logical message needs no table and is written and replicated like any change: a demoted or
        isolated primary with synchronous replication can't commit it.

        The same commit notes that this node may be vouched for until its staleness has passed: so
        nobody says "allowed" whom a deactivation receipt doesn't count
        (``registry.replication.liveness``).
        """
        with self._connected() as connection:
            cursor = connection.execute(self._heartbeat)
            while cursor.description is None:
                cursor.nextset()
            row = cursor.fetchone()
            if row is None or row[0]:
                raise psycopg.OperationalError("the server is in recovery: it is no primary")
            told_ms: int = row[1]
            if self._presence is not None and not row[3]:
                connection.execute(_BEGIN_WRITING + WAIT_FOR_CHANGES)
                connection.execute(MEET, self._presence.row())
                connection.execute("COMMIT")
            return told_ms

    def changes(self, after: Position) -> tuple[Position, Iterable[ChangedRow]] | None:
        """All that changed after *after*, or None if this history doesn't know that position.

        One snapshot: a row that changed twice meanwhile is seen as it is at the position returned.
        """
        with self._transaction() as connection:
            here = self._here(connection)
            if here == after:
                return here, ()
            if connection.execute(_KNOWN, after).fetchone() is None:
                return None
            if here[0] - after[0] <= _ROWS_AT_ONCE:
                cursor = connection.cursor(binary=True)
                return here, cursor.execute(_CHANGES, {"after": after[0]}).fetchall()
        return self._streamed([_CHANGES], after)

    def snapshot(self) -> tuple[Position, Iterable[ChangedRow]]:
        """Every row, and the position it leads to. The rows come as they are asked for, within one
        transaction; ask for nothing else meanwhile."""
        return self._streamed(revisions.SNAPSHOT)

    def _streamed(
        self, queries: Sequence[str], after: Position | None = None
    ) -> tuple[Position, Iterable[ChangedRow]]:
        rows = self._rows(queries, after)
        here = next(rows)
        assert isinstance(here[0], int)
        return here, rows

    def _rows(self, queries: Sequence[str], after: Position | None) -> Generator[Any, None, None]:
        with self._transaction() as connection:
            connection.execute(_TAKE_LONG)
            yield self._here(connection)
            if after is not None and connection.execute(_KNOWN, after).fetchone() is None:
                raise psycopg.DataError("what changed since is no longer kept")
            for query in queries:
                with connection.cursor("gatepass_rows") as cursor:
                    cursor.execute(query, after and {"after": after[0]}, binary=True)
                    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                        yield from rows

    def wait(self, seconds: float) -> None:
        """Return when a change has committed, or after *seconds*."""
        with self._connected() as connection:
            for _ in connection.notifies(timeout=seconds, stop_after=1):
                pass

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @contextmanager
    def _transaction(self) -> Iterator[_Connection]:
        with self._connected() as connection:
            connection.execute(_BEGIN)
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[_Connection]:
        connection = self._open
        listening = connection is not None
        if connection is None:
            given = psycopg.conninfo.conninfo_to_dict(self._url)
            opened = connect(_PARAMETERS, given)
            opened.patience_s = _PATIENCE_S
            connection = self._open = opened
        try:
            if not listening:
                connection.execute(f"LISTEN {CHANGED_CHANNEL}")
            yield connection
        except BaseException:
            # Also when a snapshot is left half-way: its transaction must not stay open.
            connection.close()
            if self._open is connection:
                self._open = None
            raise

    @staticmethod
    def _here(connection: _Connection) -> Position:
        row = connection.execute(revisions.HERE).fetchone()
        if row is None:
            raise psycopg.DataError("the registry has no revision: its schema isn't complete")
        return row[0], row[1]
