"""Rotation of access tokens, and up to when verifiers have reported their use."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    for name, kind in (
        ("replaces", _KEY),
        ("replaced_by", _KEY),
        ("rotated_at", sa.BigInteger()),
        ("rotation_close", sa.Text()),
        ("silent_for_ms", sa.BigInteger()),
        ("perhaps_used_at", sa.BigInteger()),
        ("family_id", _KEY),
    ):
        op.add_column("access_tokens", sa.Column(name, kind))
    for index, columns, condition in (
        (
            "closing",
            ["expires_at"],
            "rotation_close = 'when_silent' AND deactivated_at IS NULL",
        ),
        ("family", ["family_id"], "family_id IS NOT NULL"),
    ):
        op.create_index(
            f"ix_access_tokens_{index}",
            "access_tokens",
            columns,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    op.add_column("nodes", sa.Column("use_reported_at", sa.BigInteger()))
