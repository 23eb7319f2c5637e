"""Expand, then contract: migrations only add, so that nodes of the version before go on meanwhile.

Those that do more are named in ``schema.CONTRACTS``, and ``gatepass migrate --plan`` says that they
need every node to stop. Both engines have the same tables (test_schema); SQLite's are compared.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from gatepass.core.errors import Misconfigured
from gatepass.registry.storage import schema
from gatepass.registry.storage.database import Database


class Table(NamedTuple):
    """What a program relies on that reads and writes a table."""

    columns: dict[str, tuple[str, bool, Any]]
    key: list[str]
    unique: set[tuple[str, ...]]
    conditions: set[tuple[str, ...]]


def tables(connection: Connection) -> dict[str, Table]:
    """Each table of the database."""
    found = inspect(connection)
    return {
        name: Table(
            {
                each["name"]: (str(each["type"]), each["nullable"], each["default"])
                for each in found.get_columns(name)
            },
            found.get_pk_constraint(name)["constrained_columns"],
            {
                tuple(map(str, each["column_names"]))
                for each in (*found.get_unique_constraints(name), *found.get_indexes(name))
                if each.get("unique", True)
            },
            {
                *(tuple(each["constrained_columns"]) for each in found.get_foreign_keys(name)),
                *((each["sqltext"],) for each in found.get_check_constraints(name)),
            },
        )
        for name in found.get_table_names()
        if name != "alembic_version"
    }


def broken(before: dict[str, Table], after: dict[str, Table]) -> list[str]:
    """What a program that knows the tables *before* could trip over in *after*."""
    found = [f"{name} is gone" for name in before if name not in after]
    for name in before.keys() & after.keys():
        old, new = before[name], after[name]
        added = new.columns.keys() - old.columns.keys()
        for column, (kind, nullable, _) in old.columns.items():
            if new.columns.get(column, ())[:2] != (kind, nullable):
                found.append(f"{name}.{column} has changed, or is gone")
        for column in added:
            _, nullable, default = new.columns[column]
            if not nullable and default is None:
                found.append(f"{name}.{column} must be given")
        if new.key != old.key:
            found.append(f"{name} has another key")
        for columns in (new.unique - old.unique) | (new.conditions - old.conditions):
            if not added & set(columns):
                found.append(f"{name} has a new condition: {columns}")
    return found


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "growing.db"
    path.touch(mode=0o600)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


def test_migrations_only_add(empty: Database) -> None:
    contracts = set()
    before: dict[str, Table] = {}
    with empty.administrative_write() as connection:
        for version in schema.VERSIONS:
            schema.upgrade(connection, to=version)
            after = tables(connection)
            if broken(before, after):
                contracts.add(version)
            before = after
    assert contracts == schema.CONTRACTS


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ("ALTER TABLE t ADD COLUMN new TEXT", ""),
        ("ALTER TABLE t ADD COLUMN new TEXT NOT NULL DEFAULT ''", ""),
        ("CREATE INDEX i ON t (a)", ""),
        ("CREATE TABLE u (a TEXT NOT NULL)", ""),
        ("DROP INDEX one", ""),
        ("CREATE UNIQUE INDEX i ON t (a)", "t has a new condition: ('a',)"),
        ("ALTER TABLE t DROP COLUMN a", "t.a has changed, or is gone"),
        ("ALTER TABLE t RENAME TO u", "t is gone"),
    ],
)
def test_the_rule(tmp_path: Path, change: str, trouble: str) -> None:
    path = tmp_path / "t.db"
    path.touch(mode=0o600)
    database = Database(f"sqlite:///{path}")
    with database.administrative_write() as connection:
        connection.execute(text("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)"))
        connection.execute(text("CREATE UNIQUE INDEX one ON t (b)"))
        before = tables(connection)
        connection.execute(text(change))
        assert broken(before, tables(connection)) == ([trouble] if trouble else [])
    database.close()


def test_the_plan_is_what_would_be_done(empty: Database) -> None:
    with pytest.raises(Misconfigured, match="gatepass init"):
        schema.plan(empty)
    with empty.administrative_write() as connection:
        schema.upgrade(connection, to="0005")
    steps = schema.plan(empty)
    assert [step.version for step in steps] == list(schema.VERSIONS[5:])
    assert [step.version for step in steps if step.contract] == ["0007"]
    assert all(step.summary for step in steps)
    assert schema.schema_state(empty) == "old"
    with empty.administrative_write() as connection:
        connection.execute(
            text(f"UPDATE alembic_version SET version_num = '{schema.VERSIONS[-1]}'")
        )
    assert schema.plan(empty) == []
    with empty.administrative_write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Misconfigured, match="newer"):
        schema.plan(empty)
