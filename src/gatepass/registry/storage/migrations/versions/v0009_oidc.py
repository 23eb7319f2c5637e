"""OIDC: identities of users, the provider's part in a sign-in, identifiers that are used once."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("authentications", sa.Column("provider_session", _KEY))
    op.add_column("authentications", sa.Column("provider_second_factor", sa.Boolean()))
    op.create_index("ix_authentications_provider_session", "authentications", ["provider_session"])
    op.create_table(
        "identities",
        sa.Column("issuer", _KEY, nullable=False),
        sa.Column("subject", _KEY, nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("linked_at", sa.BigInteger(), nullable=False),
        sa.Column("logged_out_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_identities"),
        sa.UniqueConstraint("user_id", name="uq_identities_user_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identities_user_id"),
    )
    op.create_table(
        "used_once",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_used_once"),
    )
    op.create_index("ix_used_once_expires_at", "used_once", ["expires_at"])
