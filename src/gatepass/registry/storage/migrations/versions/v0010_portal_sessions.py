"""Portal sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "portal_sessions",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("owner_id", _KEY, nullable=False),
        sa.Column("origins", sa.Text(), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("lifetime_ms", sa.BigInteger(), nullable=False),
        sa.Column("code_digest", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary()),
        sa.Column("redeemed_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY),
        sa.Column("created_by_name", sa.Text(), nullable=False),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_portal_sessions"),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_portal_sessions_company_id"
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name="fk_portal_sessions_owner_id"),
    )
    for columns in (["created_by", "expires_at"], ["expires_at"]):
        op.create_index(f"ix_portal_sessions_{'_'.join(columns)}", "portal_sessions", columns)
