"""Metadata and external ids of access tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


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
