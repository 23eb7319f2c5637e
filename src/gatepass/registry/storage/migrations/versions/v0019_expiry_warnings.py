"""Warnings before access tokens expire."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_INDEXES = {
    "ix_access_tokens_to_warn": (
        ["warn_at"],
        "warn_at IS NOT NULL AND deactivated_at IS NULL",
    ),
    "ix_access_tokens_warned": (
        ["company_id", "warned_at", "owner_id"],
        "warned_of IS NOT NULL",
    ),
}


def upgrade() -> None:
    op.add_column("access_tokens", sa.Column("warn_at", sa.BigInteger(), server_default="0"))
    op.add_column("access_tokens", sa.Column("warned_at", sa.BigInteger()))
    op.add_column("access_tokens", sa.Column("warned_of", sa.Text()))
    op.execute(
        "UPDATE access_tokens SET warn_at = CASE "
        "WHEN deactivated_at IS NOT NULL OR lapsed_at IS NOT NULL THEN NULL "
        "WHEN unused_days IS NOT NULL THEN 0 "
        # Fourteen days before; none without an expiry.
        "ELSE expires_at - 1209600000 END"
    )
    for name, (columns, condition) in _INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "access_tokens", columns, sqlite_where=where, postgresql_where=where)
    op.add_column("token_policies", sa.Column("warnings_by", sa.Text()))
