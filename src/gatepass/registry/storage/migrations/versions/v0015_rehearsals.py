"""Rehearsals of the deactivation of access tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    for name in ("start", "until", "share", "refused_before"):
        op.add_column("access_tokens", sa.Column(f"rehearsal_{name}", sa.BigInteger()))
    op.create_index(
        "ix_access_tokens_rehearsed",
        "access_tokens",
        ["rehearsal_until"],
        sqlite_where=sa.text("rehearsal_until IS NOT NULL"),
        postgresql_where=sa.text("rehearsal_until IS NOT NULL"),
    )
