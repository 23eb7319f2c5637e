"""Approval of access tokens by a second person."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_PENDING = sa.text("pending_since IS NOT NULL AND deactivated_at IS NULL")


def upgrade() -> None:
    for name, kind in (
        ("pending_since", sa.BigInteger()),
        ("extended_by", sa.Text()),
        ("approval_asked_at", sa.BigInteger()),
        ("approved_at", sa.BigInteger()),
        ("approved_by", _KEY),
        ("approved_by_name", sa.Text()),
    ):
        op.add_column("access_tokens", sa.Column(name, kind))
    op.create_index(
        "ix_access_tokens_pending",
        "access_tokens",
        ["pending_since", "company_id", "id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
