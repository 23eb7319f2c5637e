"""Validates the schema of an export file before its tables are read.

An export may come from anywhere. A view in place of a table can compute for ever, a trigger or a
CHECK runs its author's expressions, and pages that refer to each other make an endless table. So a
file must have the tables of its schema version, column by column, and nothing else.
"""

import functools
import re
from contextlib import closing
from sqlite3 import connect

from sqlalchemy import create_engine
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from gatepass.registry.storage.schema import upgrade

_MOST_ENTRIES = 500
_computes = re.compile(r"\b(check|generated|virtual)\b|\bas\s*\(", re.IGNORECASE).search

#: By (kind, name) of a table or index: its columns, each with name, type, NOT NULL, position in the
#: key, and whether it is hidden or generated.
Shape = dict[tuple[str, str], list[tuple[object, ...]]]


def is_plain(connection: Connection) -> bool:
    """Whether a file has only tables and indexes, and its pages are consistent."""
    entries = connection.exec_driver_sql(
        "SELECT type, sql FROM sqlite_master LIMIT ?", (_MOST_ENTRIES + 1,)
    ).all()
    if len(entries) > _MOST_ENTRIES:
        return False
    if any(kind not in ("table", "index") or _computes(sql or "") for kind, sql in entries):
        return False
    return connection.exec_driver_sql("PRAGMA quick_check(1)").all() == [("ok",)]


def has_schema(connection: Connection, version: str, beside: tuple[str, ...]) -> bool:
    """Whether a file has exactly the tables of a schema version.

    Args:
        beside: the statements that create its additional tables.
    """
    return _shape_of(version, beside) == _shape(connection)


@functools.cache
def _shape_of(version: str, beside: tuple[str, ...]) -> Shape:
    # By columns, from a fresh schema: SQLite keeps the text of statements as written.
    engine = create_engine(
        "sqlite://", creator=lambda: connect(":memory:", isolation_level=None), poolclass=StaticPool
    )
    with closing(engine.connect()) as made:
        upgrade(made, to=version)
        for statement in beside:
            made.exec_driver_sql(statement)
        return _shape(made)


def _shape(connection: Connection) -> Shape:
    entries = connection.exec_driver_sql(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite~_autoindex~_%' ESCAPE '~'"
    ).all()
    return {(kind, name): _columns(connection, kind, name) for kind, name in entries}


def _columns(connection: Connection, kind: str, name: str) -> list[tuple[object, ...]]:
    columns = 'name, upper(type), "notnull", pk, hidden' if kind == "table" else "cid < -1, name"
    found = connection.exec_driver_sql(
        f"SELECT {columns} FROM pragma_{kind}_xinfo(?)",  # noqa: S608 - one of two kinds
        (name,),
    )
    return [tuple(row) for row in found]
