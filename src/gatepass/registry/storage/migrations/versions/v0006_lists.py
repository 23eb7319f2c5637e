"""Lists: an index for each filter, words of labels and names, permissions of access tokens."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from gatepass.registry.input.text import folded
from gatepass.registry.input.words import parts_of, words_of

revision = "0006"
down_revision = "0005"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_AT_ONCE = 2_000
_SQLITE_CACHE_KIB, _FORMER_CACHE_KIB = 262_144, 16_384
_PERMISSIONS = ("company_id", "permission", "created_at", "id")
_WORDS = ("company_id", "word", "created_at", "id", "rest")
_PARTS = ("company_id", "part", "word")

_Row = tuple[str | int, ...]


def upgrade() -> None:
    op.add_column("users", sa.Column("name_searched", _KEY, nullable=False, server_default=""))
    op.add_column("users", sa.Column("email_searched", _KEY, nullable=False, server_default=""))
    op.add_column("access_tokens", sa.Column("lapsed_at", sa.BigInteger()))
    op.get_bind().execute(
        sa.text(
            "UPDATE access_tokens SET lapsed_at = expires_at "
            "WHERE deactivated_at IS NULL AND expires_at <= :now"
        ),
        {"now": int(time.time() * 1000)},
    )
    _create_table("access_token_permissions", _PERMISSIONS)
    for name in ("access_token", "user_name", "user_email"):
        _create_table(f"{name}_words", _WORDS)
        _create_table(f"{name}_word_parts", _PARTS)
    if op.get_bind().dialect.name == "sqlite":
        # Words come in no order: unless the tables fit in the cache, each waits for the disk.
        op.execute(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
    op.create_index("ix_access_tokens_created_at_id", "access_tokens", ["created_at", "id"])
    _index_tokens()
    _index_users()
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA cache_size = -{_FORMER_CACHE_KIB}")
    for name in ("access_token", "user_name", "user_email"):
        op.create_index(
            f"ix_{name}_words_rest",
            f"{name}_words",
            ["company_id", "word", "rest", "created_at", "id"],
        )
    op.drop_index("ix_access_tokens_search", "access_tokens")
    for name, condition in (
        ("active", "deactivated_at IS NULL AND lapsed_at IS NULL"),
        ("expired", "deactivated_at IS NULL AND lapsed_at IS NOT NULL"),
        ("deactivated", "deactivated_at IS NOT NULL"),
    ):
        _create_index(
            f"ix_access_tokens_{name}",
            "access_tokens",
            ["company_id", "kind", "created_at", "id", "expires_at", "label_folded"],
            condition,
        )
    _create_index(
        "ix_access_tokens_due",
        "access_tokens",
        ["expires_at", "company_id", "kind", "created_at", "id"],
        "deactivated_at IS NULL AND lapsed_at IS NULL AND expires_at IS NOT NULL",
    )
    _create_index(
        "ix_access_tokens_lapsed",
        "access_tokens",
        ["lapsed_at", "company_id", "kind", "created_at", "id"],
        "deactivated_at IS NULL AND lapsed_at IS NOT NULL",
    )
    op.create_index("ix_access_tokens_company_id_id", "access_tokens", ["company_id", "id"])
    for name, condition in (
        ("active", "deactivated_at IS NULL"),
        ("deactivated", "deactivated_at IS NOT NULL"),
    ):
        _create_index(f"ix_users_{name}", "users", ["company_id", "created_at", "id"], condition)


def _create_table(name: str, columns: Sequence[str]) -> None:
    op.create_table(
        name,
        *(
            sa.Column(column, sa.BigInteger() if column == "created_at" else _KEY, nullable=False)
            for column in columns
        ),
        sa.PrimaryKeyConstraint(*columns, name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )


def _create_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _index_tokens() -> None:
    columns = "company_id, created_at, id, label_folded, permissions"
    for rows in _batches("access_tokens", columns, "created_at", "id"):
        _index_words("access_token", [(row, (row.label_folded,)) for row in rows])
        permissions = [
            (row.company_id, permission, row.created_at, row.id)
            for row in rows
            for permission in set(json.loads(row.permissions))
        ]
        _insert("access_token_permissions", _PERMISSIONS, permissions)


def _index_users() -> None:
    columns = "company_id, created_at, id, name, email, email_folded"
    for rows in _batches("users", columns, "company_id", "created_at", "id"):
        op.get_bind().execute(
            sa.text(
                "UPDATE users SET name_searched = :name, email_searched = :email WHERE id = :id"
            ),
            [{"id": row.id, "name": folded(row.name), "email": folded(row.email)} for row in rows],
        )
        _index_words("user_name", [(row, (folded(row.name),)) for row in rows])
        _index_words("user_email", [(row, (folded(row.email), row.email_folded)) for row in rows])


def _batches(table: str, columns: str, *key: str) -> Iterator[Sequence[sa.Row[Any]]]:
    """The rows of *table* by *key*, which has an index and brings most words in order, too."""
    names, values = ", ".join(key), ", ".join(f":{name}" for name in key)
    query = f"SELECT {columns} FROM {table}"  # noqa: S608 - the caller's names
    order = f"ORDER BY {names} LIMIT {_AT_ONCE}"
    rows = op.get_bind().execute(sa.text(f"{query} {order}")).all()
    while rows:
        yield rows
        rows = (
            op.get_bind()
            .execute(
                sa.text(f"{query} WHERE ({names}) > ({values}) {order}"),
                {name: rows[-1]._mapping[name] for name in key},
            )
            .all()
        )


def _index_words(name: str, records: Iterable[tuple[sa.Row[Any], Iterable[str]]]) -> None:
    words: list[_Row] = []
    vocabulary = set()
    for row, texts in records:
        for word, rest in words_of(texts):
            words.append((row.company_id, word, row.created_at, row.id, rest))
            vocabulary.add((row.company_id, word))
    _insert(f"{name}_words", _WORDS, words)
    parts = [(company, part, word) for company, word in vocabulary for part in parts_of(word)]
    _insert(f"{name}_word_parts", _PARTS, parts)


def _insert(table: str, columns: Sequence[str], rows: Sequence[_Row]) -> None:
    """Insert the rows that aren't there yet."""
    if not rows:
        return
    names = ", ".join(columns)
    if op.get_bind().dialect.name == "sqlite":
        values = ", ".join("?" * len(columns))
        op.get_bind().exec_driver_sql(
            f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({values})",  # noqa: S608 - the names above
            sorted(rows),
        )
        return
    arrays = ", ".join(
        "%s::bigint[]" if column == "created_at" else "%s::text[]" for column in columns
    )
    op.get_bind().exec_driver_sql(
        f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING",  # noqa: S608 - the names above
        tuple(map(list, zip(*rows, strict=True))),
    )
