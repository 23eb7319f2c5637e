"""Policies for the access tokens of a company; tokens that end when they are unused."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_UNUSED = sa.text("unused_days IS NOT NULL AND deactivated_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "token_policies",
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("longest_life_days", sa.BigInteger()),
        sa.Column("networks_required", sa.Boolean(), nullable=False),
        sa.Column("unused_days", sa.BigInteger()),
        sa.Column("approval_required", sa.Text(), nullable=False),
        sa.Column("warn_days", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("company_id", name="pk_token_policies"),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_token_policies_company_id"
        ),
    )
    for name in ("unused_days", "unused_set_at"):
        op.add_column("access_tokens", sa.Column(name, sa.BigInteger()))
    op.create_index(
        "ix_access_tokens_unused",
        "access_tokens",
        ["unused_set_at", "id"],
        sqlite_where=_UNUSED,
        postgresql_where=_UNUSED,
    )
    op.add_column("companies", sa.Column("unreported_until", sa.BigInteger()))
