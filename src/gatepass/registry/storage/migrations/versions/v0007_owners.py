"""Owners: service accounts and external owners, and tokens that belong to an owner of any type."""

import secrets
import time
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_AT_ONCE = 2_000
_SQLITE_CACHE_KIB, _FORMER_CACHE_KIB = 262_144, 16_384
_BY_STATUS = {
    "active": "deactivated_at IS NULL AND lapsed_at IS NULL",
    "expired": "deactivated_at IS NULL AND lapsed_at IS NOT NULL",
    "deactivated": "deactivated_at IS NOT NULL",
}
#: The columns of a token that stay as they are.
_KEPT = (
    "id, company_id, digest, kind, label, label_folded, permissions, networks, domains, "
    "expires_at, created_at, created_by, deactivated_at, deactivated_by, deactivated_by_name, "
    "form_id, lapsed_at"
)


def upgrade() -> None:
    _create_owners()
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
        _rebuild_tokens()
        op.execute(f"PRAGMA cache_size = -{_FORMER_CACHE_KIB}")
    else:
        op.add_column("access_tokens", sa.Column("owner_id", _KEY))
        op.execute("UPDATE access_tokens SET owner_id = created_by")
        op.alter_column("access_tokens", "owner_id", nullable=False)
        op.alter_column("access_tokens", "created_by", nullable=True)
        op.add_column("access_tokens", sa.Column("created_by_name", sa.Text()))
    for status, condition in _BY_STATUS.items():
        _create_index(
            f"ix_access_tokens_owner_{status}",
            "access_tokens",
            ["owner_id", "created_at", "id", "kind", "expires_at"],
            condition,
        )
    _name_holders()


def _create_owners() -> None:
    op.create_table(
        "owners",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("external_id", _KEY),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_searched", _KEY, nullable=False),
        sa.Column("role", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY),
        sa.Column("created_by_name", sa.Text(), nullable=False),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name="fk_owners_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_owners"),
    )
    by_time = ["company_id", "type", "created_at", "id"]
    _create_index("ix_owners_active", "owners", by_time, "deactivated_at IS NULL")
    _create_index("ix_owners_deactivated", "owners", by_time, "deactivated_at IS NOT NULL")
    op.create_index(
        "ix_owners_company_id_external_id_created_at_id",
        "owners",
        ["company_id", "external_id", "created_at", "id"],
    )
    _create_index(
        "ix_owners_active_external_id",
        "owners",
        ["company_id", "external_id"],
        "deactivated_at IS NULL",
        unique=True,
    )
    op.create_index(
        "ix_owners_company_id_type_role_deactivated_at",
        "owners",
        ["company_id", "type", "role", "deactivated_at"],
    )
    words = ("company_id", "word", "created_at", "id", "rest")
    for table, columns in (
        ("owner_name_words", words),
        ("owner_name_word_parts", ("company_id", "part", "word")),
    ):
        op.create_table(
            table,
            *(
                sa.Column(name, sa.BigInteger() if name == "created_at" else _KEY, nullable=False)
                for name in columns
            ),
            sa.PrimaryKeyConstraint(*columns, name=f"pk_{table}"),
            sqlite_with_rowid=False,
        )
    op.create_index(
        "ix_owner_name_words_rest",
        "owner_name_words",
        ["company_id", "word", "rest", "created_at", "id"],
    )


def _create_index(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _rebuild_tokens() -> None:
    """Rebuild the table: SQLite can't make a column nullable. No foreign key refers to it."""
    op.create_table(
        "new_access_tokens",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("label_folded", _KEY, nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("networks", sa.Text(), nullable=False),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("owner_id", _KEY, nullable=False),
        sa.Column("created_by", _KEY),
        sa.Column("created_by_name", sa.Text()),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.Column("form_id", _KEY),
        sa.Column("lapsed_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_access_tokens_company_id"
        ),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_access_tokens_created_by"),
        sa.PrimaryKeyConstraint("id", name="pk_access_tokens"),
        sa.UniqueConstraint("created_by", "form_id", name="uq_access_tokens_created_by_form_id"),
    )
    op.execute(
        f"INSERT INTO new_access_tokens ({_KEPT}, owner_id) "  # noqa: S608 - the names above
        f"SELECT {_KEPT}, created_by FROM access_tokens ORDER BY rowid"
    )
    op.drop_table("access_tokens")
    op.rename_table("new_access_tokens", "access_tokens")
    op.create_index("ix_access_tokens_created_at_id", "access_tokens", ["created_at", "id"])
    op.create_index("ix_access_tokens_company_id_id", "access_tokens", ["company_id", "id"])
    for status, condition in _BY_STATUS.items():
        _create_index(
            f"ix_access_tokens_{status}",
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


def _name_holders() -> None:
    """Add the type and name to all holders, as one revision that followers read."""
    connection = op.get_bind()
    first = connection.execute(sa.text("SELECT id FROM holders ORDER BY id LIMIT 1")).first()
    if first is None:
        return
    number = connection.execute(
        sa.text("UPDATE revision SET number = number + 1, tag = :tag RETURNING number"),
        {"tag": (tag := secrets.token_hex(8))},
    ).scalar_one()
    connection.execute(
        sa.text("INSERT INTO revisions (number, tag, at) VALUES (:number, :tag, :at)"),
        {"number": number, "tag": tag, "at": int(time.time() * 1000)},
    )
    last = ""
    while rows := connection.execute(_HOLDERS, {"last": last, "limit": _AT_ONCE}).all():
        last = rows[-1].id
        records = [
            {"id": row.id, "record": _named(row.record, row.name), "revision": number}
            for row in rows
            if row.name is not None
        ]
        if records:
            connection.execute(_STORE, records)
            connection.execute(_NOTE, records)


def _named(record: bytes, name: str) -> bytes:
    fields: list[Any] = msgspec.msgpack.decode(record)
    return msgspec.msgpack.encode([*fields[:4], "user", name, None])


_HOLDERS = sa.text(
    "SELECT holders.id, holders.record, users.name FROM holders "
    "LEFT JOIN users ON users.id = holders.id WHERE holders.id > :last "
    "ORDER BY holders.id LIMIT :limit"
)
_STORE = sa.text("UPDATE holders SET record = :record, revision = :revision WHERE id = :id")
_NOTE = sa.text(
    "INSERT INTO changed_records (revision, record_table, record_id) "
    "VALUES (:revision, 'holders', :id)"
)
