"""Reading, copying and comparing all rows of a registry, in a form common to both engines.

A row holds its columns in the order of their names; booleans are 0 and 1, JSON is its text. So rows
can be copied between the engines unchanged, and compared by their digests.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Boolean, text
from sqlalchemy.engine import Connection

from gatepass.core.errors import Unavailable
from gatepass.core.set_digest import SetDigest
from gatepass.registry.storage.tables import metadata
from gatepass.verify import grant_file

Row = tuple[int | str | bytes | None, ...]
Batches = Generator[list[Row], None, None]
#: Called with numbers of rows as they are processed.
OnRows = Callable[[int], None]


class Progress:
    """Receives the progress of an export, import or restore. This one ignores it."""

    def begin(self, doing: str, rows: int) -> None:
        """The next step starts; it processes *rows* rows."""

    def advance(self, rows: int) -> None:
        """*rows* more rows have been processed."""


_GRANT_COLUMNS = ("id", "record", "revision")
#: The columns of each table; tables come after those they refer to.
COLUMNS: dict[str, tuple[str, ...]] = {
    **{table.name: tuple(sorted(table.c.keys())) for table in metadata.sorted_tables},
    **dict.fromkeys(grant_file.TABLES, _GRANT_COLUMNS),
}
_BOOLEANS = {
    (table.name, column.name)
    for table in metadata.sorted_tables
    for column in table.c
    if isinstance(column.type, Boolean)
}
#: Tables whose rows PostgreSQL numbers from a sequence.
_NUMBERED = ("audit_events", "sign_in_failures", "webhook_deliveries")
_AT_ONCE = 5_000
_SQLITE_CACHE_KIB = 262_144


@dataclass(frozen=True, slots=True)
class Content:
    """The number of rows of a table, and their digest."""

    rows: int
    digest: str


Contents = Mapping[str, Content]


def rows(connection: Connection, table: str, columns: tuple[str, ...] | None = None) -> Batches:
    """All rows of a table, in batches of some thousand.

    Args:
        columns: in the order of their names; by default those of the present schema.
    """
    postgresql = connection.dialect.name == "postgresql"
    wanted = ", ".join(
        f'CAST("{name}" AS INTEGER)' if postgresql and (table, name) in _BOOLEANS else f'"{name}"'
        for name in columns or COLUMNS[table]
    )
    result = connection.exec_driver_sql(
        f"SELECT {wanted} FROM {table}",  # noqa: S608 - the schema's own names
        execution_options={"stream_results": True},
    )
    with closing(result):
        for batch in result.partitions(_AT_ONCE):
            yield [tuple(row) for row in batch]


def count(connection: Connection) -> int:
    """The number of rows of all tables."""
    return sum(
        connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - the schema's own names
        for table in COLUMNS
    )


def measure(connection: Connection, on_rows: OnRows) -> Contents:
    """Count and digest all tables of a registry, in the caller's transaction.

    Args:
        on_rows: called with numbers of rows that have been read.
    """
    return {table: measured(rows(connection, table), on_rows) for table in COLUMNS}


def measured(batches: Batches, on_rows: OnRows) -> Content:
    """Count and digest the rows of a table."""
    digest = SetDigest()
    # on_rows may raise, to cancel: the cursor must be closed before its connection.
    with closing(batches):
        for batch in batches:
            digest.add(batch)
            on_rows(len(batch))
    return Content(digest.rows, str(digest))


def copy(source: Connection, target: Connection, on_rows: OnRows) -> None:
    """Copy all rows into empty tables.

    Args:
        on_rows: called with numbers of rows that have been written.

    Raises:
        Unavailable: PostgreSQL can't be written.
    """
    for table in COLUMNS:
        with closing(rows(source, table)) as batches:
            _write(target, table, batches, on_rows)
    if target.dialect.name == "postgresql":
        for table in _NUMBERED:
            target.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), "  # noqa: S608 - the names are the constants above
                    f"coalesce(max(number), 1), max(number) IS NOT NULL) FROM {table}"
                )
            )


def empty(connection: Connection) -> None:
    """Delete all rows."""
    # Not TRUNCATE: transactions with an older snapshot would see empty tables.
    for table in reversed(COLUMNS):
        connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - the schema's own names


def differing(one: Contents, other: Contents) -> list[str]:
    """The names of tables whose contents differ."""
    return sorted(
        table for table in one.keys() | other.keys() if one.get(table) != other.get(table)
    )


def _write(connection: Connection, table: str, batches: Batches, on_rows: OnRows) -> None:
    columns = COLUMNS[table]
    names = ", ".join(f'"{name}"' for name in columns)
    if connection.dialect.name == "postgresql":
        # If it is off, libpq doubles the backslash that encodes binary digests.
        connection.exec_driver_sql("SET LOCAL standard_conforming_strings = on")
        cursor: Any = connection.connection.cursor()
        try:
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copying:
                for batch in batches:
                    for row in batch:
                        copying.write_row(row)
                    on_rows(len(batch))
        except psycopg.OperationalError as error:
            # SQLAlchemy doesn't see this statement, and can't convert its error.
            raise Unavailable("The database can't be used right now.") from error
        return
    # Ids come in random order: unless their indexes fit in the cache, each row waits for the disk.
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
    values = ", ".join("?" * len(columns))
    for batch in batches:
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({values})", batch)  # noqa: S608 - the schema's own names
        on_rows(len(batch))
