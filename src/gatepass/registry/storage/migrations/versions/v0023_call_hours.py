"""The calls of access tokens by the hour."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "token_call_hours",
        sa.Column("hour", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("allowed", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "token_id", name="pk_token_call_hours"),
        sqlite_with_rowid=False,
    )
