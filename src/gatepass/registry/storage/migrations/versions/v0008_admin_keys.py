"""Admin keys, external ids of companies, limited verifier keys, idempotent answers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "admin_keys",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("company_id", _KEY),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("networks", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY),
        sa.Column("created_by_name", sa.Text(), nullable=False),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_admin_keys"),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name="fk_admin_keys_company_id"),
    )
    op.create_index("ix_admin_keys_created_at_id", "admin_keys", ["created_at", "id"])
    op.create_table(
        "idempotent_answers",
        sa.Column("credential", _KEY, nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("path_digest", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "credential", "key_digest", "path_digest", name="pk_idempotent_answers"
        ),
    )
    op.create_index("ix_idempotent_answers_at", "idempotent_answers", ["at"])
    op.add_column("verifier_keys", sa.Column("companies", sa.Text()))
    op.create_index("ix_verifier_keys_created_at_id", "verifier_keys", ["created_at", "id"])
    op.add_column("companies", sa.Column("external_id", _KEY))
    op.create_index("ix_companies_created_at_id", "companies", ["created_at", "id"])
    op.create_index(
        "ix_companies_external_id_created_at_id", "companies", ["external_id", "created_at", "id"]
    )
    op.create_index(
        "ix_companies_active_external_id",
        "companies",
        ["external_id"],
        unique=True,
        sqlite_where=sa.text("deactivated_at IS NULL"),
        postgresql_where=sa.text("deactivated_at IS NULL"),
    )
