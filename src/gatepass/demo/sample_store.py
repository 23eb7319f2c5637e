"""The sample API's data: a few dozen fictitious payment records in a small SQLite file.

The file is in the demo's data directory and shared by all worker processes. It has nothing to do
with Gatepass's own database.
"""

import json
import random
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE_NAME = "sample.db"
PREFIXES = {
    "charges": "ch",
    "refunds": "re",
    "checkouts": "co",
    "customers": "cus",
    "payouts": "po",
    "webhooks": "wh",
}
MINUTE = 60_000
DAY = 24 * 60 * MINUTE

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    resource TEXT NOT NULL, id TEXT NOT NULL, created_at INTEGER NOT NULL, fields TEXT NOT NULL,
    PRIMARY KEY (resource, id)
) WITHOUT ROWID
"""
_PEOPLE = (
    ("Amara Okafor", "amara@okafor.example"),
    ("Linh Tran", "linh.tran@example.net"),
    ("Mateo Rossi", "mateo@studio-rossi.example"),
    ("Priya Raman", "priya@raman.example"),
    ("Freya Lindqvist", "freya@lindqvist.example"),
    ("Noah Whitlam", "noah.whitlam@example.org"),
)
_GOODS = (
    ("Annual plan", 118_800),
    ("Team seats, 3", 8_700),
    ("Espresso machine", 64_900),
    ("Field notebook", 2_450),
    ("Workshop ticket", 15_000),
    ("Replacement filter", 3_900),
    ("Gift card", 5_000),
)


@dataclass(frozen=True)
class Record:
    """A record of the sample API. ``created_at`` is Unix time in milliseconds."""

    id: str
    created_at: int
    fields: dict[str, object]

    def as_json(self) -> dict[str, object]:
        """The record as the sample API sends it."""
        at = datetime.fromtimestamp(self.created_at / 1000, UTC)
        created_at = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": self.id, **self.fields, "created_at": created_at}


class SampleStore:
    """Sample records by resource, shared by every process that opens the same *path*."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._changing() as connection:
            connection.execute(_SCHEMA)

    def create(self, resource: str, now: int, fields: dict[str, object]) -> Record:
        """Create a record of *resource*."""
        record = Record(f"{PREFIXES[resource]}_{secrets.token_hex(6)}", now, fields)
        with self._changing() as connection:
            _insert(connection, resource, record)
        return record

    def get(self, resource: str, id: str) -> Record | None:
        """The record with that id, or None."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT id, created_at, fields FROM records WHERE resource = ? AND id = ?",
                (resource, id),
            ).fetchone()
        return None if row is None else _record(row)

    def newest(self, resource: str, *, limit: int) -> list[Record]:
        """The newest *limit* records of *resource*."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT id, created_at, fields FROM records WHERE resource = ?"
                " ORDER BY created_at DESC, id LIMIT ?",
                (resource, limit),
            ).fetchall()
        return [_record(row) for row in rows]

    def modify(
        self, resource: str, id: str, changes: dict[str, object], *, from_status: str | None = None
    ) -> Record | None:
        """Apply *changes* to the record's fields and return it.

        Returns:
            None if there is no such record, or it isn't in *from_status* where one is given.
        """
        with self._changing() as connection:
            row = connection.execute(
                "UPDATE records SET fields = json_patch(fields, :changes)"
                " WHERE resource = :resource AND id = :id"
                " AND (:status IS NULL OR json_extract(fields, '$.status') = :status)"
                " RETURNING id, created_at, fields",
                {
                    "changes": json.dumps(changes),
                    "resource": resource,
                    "id": id,
                    "status": from_status,
                },
            ).fetchone()
        return None if row is None else _record(row)

    def delete(self, resource: str, id: str) -> bool:
        """Remove the record; False if there was none."""
        with self._changing() as connection:
            return bool(
                connection.execute(
                    "DELETE FROM records WHERE resource = ? AND id = ?", (resource, id)
                ).rowcount
            )

    def fill(self, now: int) -> None:
        """Insert the fictitious records, the latest of them a few minutes before *now*."""
        # Not for security: the same data every time, so that docs can refer to it.
        chance = random.Random(8787)  # noqa: S311

        def insert(resource: str, age: int, fields: dict[str, object]) -> str:
            id = f"{PREFIXES[resource]}_{chance.randbytes(6).hex()}"
            _insert(connection, resource, Record(id, now - age, fields))
            return id

        with self._changing() as connection:
            people = [
                insert("customers", (90 - 9 * n) * DAY, {"name": name, "email": email})
                for n, (name, email) in enumerate(_PEOPLE)
            ]
            for n in range(24):
                description, amount = chance.choice(_GOODS)
                charge: dict[str, object] = {
                    "amount": amount,
                    "currency": "AUD",
                    "status": chance.choices(
                        ("succeeded", "authorised", "refunded", "failed"), (16, 3, 3, 2)
                    )[0],
                    "description": description,
                    "customer": chance.choice(people),
                }
                age = 4 * MINUTE + n * chance.randrange(5 * 60, 11 * 60) * MINUTE
                id = insert("charges", age, charge)
                if charge["status"] == "refunded":
                    refund = {"charge": id, "amount": amount, "currency": "AUD"}
                    insert("refunds", age // 2, refund)
            for week in range(4):
                insert(
                    "payouts",
                    (2 + 7 * week) * DAY,
                    {
                        "amount": chance.randrange(180_000, 960_000),
                        "currency": "AUD",
                        "status": "paid" if week else "on its way",
                        "bank_account": "···· 4417",
                    },
                )
            insert(
                "webhooks",
                60 * DAY,
                {"url": "https://hooks.example.com/acme", "events": ["charge.succeeded"]},
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # A connection per call: threads share nothing, and a sample API may be slow.
        with closing(sqlite3.connect(self._path, timeout=5, isolation_level=None)) as connection:
            yield connection

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, resource: str, record: Record) -> None:
    connection.execute(
        "INSERT INTO records (resource, id, created_at, fields) VALUES (?, ?, ?, ?)",
        (resource, record.id, record.created_at, json.dumps(record.fields)),
    )


def _record(row: tuple[str, int, str]) -> Record:
    return Record(row[0], row[1], json.loads(row[2]))
