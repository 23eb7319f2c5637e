"""The versions of the installation's catalogue."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "catalogue_versions",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("digest", _KEY, nullable=False),
        sa.Column("permissions", sa.Integer(), nullable=False),
        sa.Column("routes", sa.Integer(), nullable=False),
        sa.Column("from_file", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY),
        sa.Column("created_by_name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_catalogue_versions"),
    )
    op.create_index("ix_catalogue_versions_digest", "catalogue_versions", ["digest"])
