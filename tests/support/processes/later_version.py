"""``gatepass`` of a later version, whose schema has more of all that a migration may add.

``python -m tests.support.processes.later_version serve``
"""

import sys
from typing import Any

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from gatepass.registry.storage import schema

LATER = "9999"
#: Tables that every sign-in, change and copy of the grants uses.
_TABLES = (
    *("access_tokens", "audit_events", "authentications", "companies", "grants", "nodes"),
    *("revisions", "users"),
)


def widen(connection: Connection, **_: Any) -> None:
    """Add columns, with and without a default, indexes and tables."""
    for table in _TABLES:
        first = inspect(connection).get_columns(table)[0]["name"]
        for statement in (
            f"ALTER TABLE {table} ADD COLUMN later_text TEXT",
            f"ALTER TABLE {table} ADD COLUMN later_number BIGINT NOT NULL DEFAULT 7",
            f"CREATE INDEX later_ix_{table} ON {table} (later_number, {first})",
            f"CREATE UNIQUE INDEX later_uq_{table} ON {table} (later_text)",
            f"CREATE TABLE later_{table} (id TEXT NOT NULL PRIMARY KEY, other TEXT NOT NULL)",
        ):
            connection.execute(text(statement))
    connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": LATER})


def main() -> int:
    """Run the command in ``sys.argv``, as the later version."""
    from gatepass.cli import main as run

    schema.VERSIONS = (*schema.VERSIONS, LATER)
    schema.upgrade = widen
    return run()


if __name__ == "__main__":
    sys.exit(main())
