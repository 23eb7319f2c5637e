"""Metadata and external ids of access tokens; their lists by label, expiry, use, networks."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_STATUSES = {
    "active": "deactivated_at IS NULL AND lapsed_at IS NULL",
    "expired": "deactivated_at IS NULL AND lapsed_at IS NOT NULL",
    "deactivated": "deactivated_at IS NOT NULL",
}
_ORDERS = {
    "maker": ["created_by", "created_at", "id", "kind", "expires_at"],
    "label": ["company_id", "label_folded", "created_at", "id", "kind", "expires_at"],
    "expiry": ["company_id", "expires_at", "created_at", "id", "kind"],
}


def upgrade() -> None:
    op.add_column(
        "access_tokens", sa.Column("metadata", sa.Text(), nullable=False, server_default="{}")
    )
    op.add_column("access_tokens", sa.Column("external_id", _KEY))
    _index(
        "ix_access_tokens_external_id",
        ["company_id", "external_id", "created_at", "id"],
        "external_id IS NOT NULL",
    )
    _index(
        "ix_access_tokens_active_external_id",
        ["company_id", "external_id"],
        "external_id IS NOT NULL AND deactivated_at IS NULL AND lapsed_at IS NULL",
        unique=True,
    )
    op.create_table(
        "access_token_metadata",
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("entry", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("id", _KEY, nullable=False),
        sa.PrimaryKeyConstraint(
            "company_id", "entry", "created_at", "id", name="pk_access_token_metadata"
        ),
        sqlite_with_rowid=False,
    )
    for status, condition in _STATUSES.items():
        for of, columns in _ORDERS.items():
            _index(f"ix_access_tokens_{of}_{status}", columns, condition)
        for networks, operator in (("open", "="), ("limited", "!=")):
            _index(
                f"ix_access_tokens_{networks}_{status}",
                ["company_id", "created_at", "id", "kind", "expires_at"],
                f"networks {operator} '[]' AND {condition}",
            )
    _recency()


def _recency() -> None:
    op.create_table(
        "access_token_recency",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("life", _KEY, nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_token_recency"),
    )
    op.execute(
        "INSERT INTO access_token_recency (id, company_id, life, last_at, created_at) "
        "SELECT id, company_id, CASE WHEN deactivated_at IS NOT NULL THEN 'deactivated' "
        "WHEN lapsed_at IS NOT NULL THEN 'expired' ELSE 'active' END, "
        "COALESCE(last_at, 0), created_at "
        "FROM access_tokens LEFT JOIN token_use ON token_use.token_id = access_tokens.id"
    )
    op.create_index(
        "ix_access_token_recency_company_id_life_last_at_created_at_id",
        "access_token_recency",
        ["company_id", "life", "last_at", "created_at", "id"],
    )


def _index(name: str, columns: list[str], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(
        name,
        "access_tokens",
        columns,
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )
