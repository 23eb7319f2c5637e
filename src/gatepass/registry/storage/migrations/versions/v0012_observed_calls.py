"""Observed calls of access tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "observed_calls",
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("call", _KEY, nullable=False),
        sa.Column("allowed", sa.Boolean(), nullable=False),
        sa.Column("reason", _KEY),
        sa.Column("permission", _KEY),
        sa.Column("second_permission", _KEY),
        sa.Column("route", _KEY),
        sa.Column("method", _KEY),
        sa.Column("address", _KEY),
        sa.Column("origin", _KEY),
        sa.Column("decision", _KEY),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "day", "call", name="pk_observed_calls"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_observed_calls_day", "observed_calls", ["day"])
    op.create_index(
        "ix_observed_calls_decision",
        "observed_calls",
        ["decision"],
        sqlite_where=sa.text("decision IS NOT NULL"),
        postgresql_where=sa.text("decision IS NOT NULL"),
    )
