"""What a registry holds, row by row, in a form that is the same on both engines.

A row is its columns in the order of their names; truths are 0 and 1, JSON is its text. So contents
can be carried from one engine to the other as they are, and compared by their digests.
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
#: Called now and then with how many more rows have been dealt with.
Told = Callable[[int], None]


class Progress:
    """How far the moving is. This one tells nobody."""

    def begin(self, doing: str, rows: int) -> None:
        """What is done with so many rows next."""

    def advance(self, rows: int) -> None:
        """So many more of them are done."""


_GRANT_COLUMNS = ("id", "record", "revision")
#: Each table's columns; what others refer to comes before them.
COLUMNS: dict[str, tuple[str, ...]] = {
    **{table.name: tuple(sorted(table.c.keys())) for table in metadata.sorted_tables},
    **dict.fromkeys(grant_file.TABLES, _GRANT_COLUMNS),
}
_TRUTHS = {
    (table.name, column.name)
    for table in metadata.sorted_tables
    for column in table.c
    if isinstance(column.type, Boolean)
}
#: Rows that PostgreSQL numbers by itself.
_NUMBERED = ("audit_events", "sign_in_failures")
_AT_ONCE = 5_000
_SQLITE_CACHE_KIB = 262_144


@dataclass(frozen=True, slots=True)
class Content:
    """How many rows a table has, and their digest."""

    rows: int
    digest: str


Contents = Mapping[str, Content]


def rows(connection: Connection, table: str, columns: tuple[str, ...] | None = None) -> Batches:
    """All rows of a table, some thousand at a time.

    Args:
        columns: in the order of their names; those of the present schema if not given.
    """
    postgresql = connection.dialect.name == "postgresql"
    wanted = ", ".join(
        f'CAST("{name}" AS INTEGER)' if postgresql and (table, name) in _TRUTHS else f'"{name}"'
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
    """How many rows there are in all."""
    return sum(
        connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - the schema's own names
        for table in COLUMNS
    )


def measure(connection: Connection, told: Told) -> Contents:
    """The contents of a registry, as one transaction sees it.

    Args:
        told: called with numbers of rows that have been read.
    """
    return {table: measured(rows(connection, table), told) for table in COLUMNS}


def measured(batches: Batches, told: Told) -> Content:
    """The content of a table that holds these rows."""
    digest = SetDigest()
    # Whoever is told may break it off: what is read is closed before its connection is.
    with closing(batches):
        for batch in batches:
            digest.add(batch)
            told(len(batch))
    return Content(digest.rows, str(digest))


def copy(source: Connection, target: Connection, told: Told) -> None:
    """Copy all rows into tables that are empty.

    Args:
        told: called with numbers of rows that have been written.

    Raises:
        Unavailable: PostgreSQL can't be written.
    """
    for table in COLUMNS:
        with closing(rows(source, table)) as batches:
            _write(target, table, batches, told)
    if target.dialect.name == "postgresql":
        for table in _NUMBERED:
            target.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), "  # noqa: S608 - the names are the constants above
                    f"coalesce(max(number), 1), max(number) IS NOT NULL) FROM {table}"
                )
            )


def empty(connection: Connection) -> None:
    """Remove all rows."""
    # Not TRUNCATE: whoever still looks at the former state would see empty tables.
    for table in reversed(COLUMNS):
        connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - the schema's own names


def differing(one: Contents, other: Contents) -> list[str]:
    """The tables whose contents aren't the same."""
    return sorted(
        table for table in one.keys() | other.keys() if one.get(table) != other.get(table)
    )


def _write(connection: Connection, table: str, batches: Batches, told: Told) -> None:
    columns = COLUMNS[table]
    names = ", ".join(f'"{name}"' for name in columns)
    if connection.dialect.name == "postgresql":
        # Where it is off, libpq doubles the backslash that digests are told with.
        connection.exec_driver_sql("SET LOCAL standard_conforming_strings = on")
        cursor: Any = connection.connection.cursor()
        try:
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copying:
                for batch in batches:
                    for row in batch:
                        copying.write_row(row)
                    told(len(batch))
        except psycopg.OperationalError as error:
            # Asked past SQLAlchemy, which would tell the same.
            raise Unavailable("The database can't be used right now.") from error
        return
    # Ids come in no order: without room for their indexes each row would wait for the disk.
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
    values = ", ".join("?" * len(columns))
    for batch in batches:
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({values})", batch)  # noqa: S608 - the schema's own names
        told(len(batch))
