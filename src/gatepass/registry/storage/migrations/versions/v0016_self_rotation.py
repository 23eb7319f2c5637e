"""Families of access tokens that rotate themselves, by the time of their creation."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_FAMILY = sa.text("family_id IS NOT NULL")


def upgrade() -> None:
    op.drop_index("ix_access_tokens_family", "access_tokens")
    op.create_index(
        "ix_access_tokens_family",
        "access_tokens",
        ["family_id", "created_at"],
        sqlite_where=_FAMILY,
        postgresql_where=_FAMILY,
    )
