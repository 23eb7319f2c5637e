"""The feed of changes that a node's follower reads from PostgreSQL.

It has a connection of its own to the primary, and listens for changes. It works behind a pooler in
transaction mode, too: its settings are per transaction. ``LISTEN`` has no effect there, so the
follower also polls at short intervals.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from gatepass.registry.replication.liveness import (
    HEARTBEAT,
    IS_LIVE,
    REGISTER,
    WAIT_FOR_WRITES,
    Registration,
)
from gatepass.registry.storage import revisions
from gatepass.registry.storage.group import CHANGED_CHANNEL
from gatepass.registry.storage.revisions import ChangedRow, Position
from gatepass.registry.storage.silent_server import connect

# Sent in one round trip with the statements. They override the server's own timeouts: a follower
# that applies a long snapshot while streaming it isn't idle; a frozen one is terminated in the end.
_LIMITS = (
    "SET LOCAL synchronous_commit = on; "
    "SET LOCAL statement_timeout = '60s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '60s'; "
)
_BEGIN = f"BEGIN ISOLATION LEVEL REPEATABLE READ; {_LIMITS}"
# Other transactions write the same rows concurrently.
_BEGIN_WRITING = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_LIMITS}"
# Committed, so that it waits for synchronous replicas.
_HEARTBEAT = (
    "SELECT pg_is_in_recovery(), (extract(epoch FROM clock_timestamp()) * 1000)::bigint, "
    "CASE WHEN NOT pg_is_in_recovery() "
    "THEN pg_logical_emit_message(true, 'gatepass', 'heartbeat') END"
)
# PostgreSQL 17 has a timeout that earlier versions don't know.
_NO_TRANSACTION_TIMEOUT = (
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
# Shorter than elsewhere: there must be time to ask another host before the lease expires.
_RESPONSE_TIMEOUT_S = 4.0
_IS_KNOWN = revisions.is_known_sql("%s", "%s")
_CHANGES = revisions.changes_sql("%(after)s")
# A snapshot is streamed: a million grants needn't fit in memory.
_ROWS_AT_ONCE = 5_000
# All that a follower near the latest position reads, in one round trip: on a busy machine, each
# waits for a processor at both ends. More than {most} changes are left out, to be streamed.
_NEAR = sql.SQL(
    f"{_BEGIN}{revisions.LATEST}; "  # noqa: S608 - constants
    f"{revisions.is_known_sql('{number}', '{tag}')}; "
    f"SELECT * FROM ({revisions.changes_sql('{number}')}) AS changes "
    "WHERE (SELECT number FROM revision WHERE id = 1) - {number} <= {most}; "
    "COMMIT"
)

_Connection = psycopg.Connection[tuple[Any, ...]]


class DatabaseFeed:
    """A follower's feed from the registry (``verify.replica.database_follower.Feed``).

    All methods raise psycopg's errors and close the connection then. The next call opens another,
    to the host that is the primary.

    Args:
        url: the registry's ``postgresql://…`` URL.
        registration: the node that follows; None doesn't register, and no receipt counts it.
    """

    def __init__(self, url: str, registration: Registration | None = None) -> None:
        self._url = url
        self._registration = registration
        self._heartbeat = f"{_BEGIN_WRITING}{_HEARTBEAT}; COMMIT"
        if registration is not None:
            own = sql.SQL(f", {IS_LIVE}; {HEARTBEAT}").format(id=sql.Literal(registration.id))
            self._heartbeat = f"{_BEGIN_WRITING}{_HEARTBEAT}{own.as_string()}; COMMIT"
        self._open: _Connection | None = None

    def heartbeat(self) -> int:
        """Commit a message that waits for synchronous replicas, on the primary only.

        A logical message needs no table and is replicated like any write: a demoted or isolated
        primary with synchronous replication can't commit it.

        The same commit records that this node's lease may be renewed. So no node answers "allowed"
        that a deactivation receipt doesn't count (``registry.replication.liveness``).

        Returns:
            The primary's time, Unix ms.
        """
        with self._connected() as connection:
            cursor = connection.execute(self._heartbeat)
            while cursor.description is None:
                cursor.nextset()
            row = cursor.fetchone()
            if row is None or row[0]:
                raise psycopg.OperationalError("the server is in recovery: it isn't the primary")
            primary_ms: int = row[1]
            if self._registration is not None and not row[3]:
                connection.execute(_BEGIN_WRITING + WAIT_FOR_WRITES)
                connection.execute(REGISTER, self._registration.row())
                connection.execute("COMMIT")
            return primary_ms

    def changes(self, after: Position) -> tuple[Position, Iterable[ChangedRow]] | None:
        """All records that changed after *after*, and the latest position; None if it is unknown.

        Read from one snapshot: a record that changed twice is returned as of the latest position.
        """
        number, tag = map(sql.Literal, after)
        near = _NEAR.format(number=number, tag=tag, most=sql.Literal(_ROWS_AT_ONCE))
        with self._connected() as connection:
            cursor = connection.execute(near)
            found = [each.fetchall() for each in cursor.results() if each.description is not None]
        latest, known, changes = _position(found[0]), found[1], found[2]
        if latest == after:
            return latest, ()
        if not known:
            return None
        if latest[0] - after[0] <= _ROWS_AT_ONCE:
            return latest, changes
        return self._streamed([_CHANGES], after)

    def snapshot(self) -> tuple[Position, Iterable[ChangedRow]]:
        """All records, and the latest position.

        The rows are streamed within one transaction; don't call other methods before the end.
        """
        return self._streamed(revisions.SNAPSHOT)

    def _streamed(
        self, queries: Sequence[str], after: Position | None = None
    ) -> tuple[Position, Iterable[ChangedRow]]:
        rows = self._rows(queries, after)
        latest = next(rows)
        assert isinstance(latest[0], int)
        return latest, rows

    def _rows(self, queries: Sequence[str], after: Position | None) -> Generator[Any, None, None]:
        with self._transaction() as connection:
            connection.execute(_NO_TRANSACTION_TIMEOUT)
            yield _position(connection.execute(revisions.LATEST).fetchall())
            if after is not None and connection.execute(_IS_KNOWN, after).fetchone() is None:
                raise psycopg.DataError("the changes since that position are no longer kept")
            for query in queries:
                with connection.cursor("gatepass_rows") as cursor:
                    cursor.execute(query, after and {"after": after[0]}, binary=True)
                    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                        yield from rows

    def wait(self, seconds: float) -> None:
        """Wait until a write commits, for up to *seconds*."""
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
            opened.response_timeout_s = _RESPONSE_TIMEOUT_S
            connection = self._open = opened
        try:
            if not listening:
                connection.execute(f"LISTEN {CHANGED_CHANNEL}")
            yield connection
        except BaseException:
            # Also if the caller stops in the middle of a snapshot: its transaction must not stay
            # open.
            connection.close()
            if self._open is connection:
                self._open = None
            raise


def _position(rows: Sequence[tuple[Any, ...]]) -> Position:
    """The position that ``revisions.LATEST`` found."""
    if not rows:
        raise psycopg.DataError("the registry has no revision row: its schema is incomplete")
    return rows[0][0], rows[0][1]
