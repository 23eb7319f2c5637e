"""Access tokens that ask for a permission, and exceptions that allow it for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_EXCEPTED = sa.text("exceptions_end_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "access_requests",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("permission", _KEY, nullable=False),
        sa.Column("decision", _KEY),
        sa.Column("justification", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("decided_at", sa.BigInteger()),
        sa.Column("decided_by", _KEY),
        sa.Column("decided_by_name", sa.Text()),
        sa.Column("until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_access_requests"),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_access_requests_company_id"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["access_tokens.id"], name="fk_access_requests_token_id"
        ),
    )
    for of in ("company_id", "token_id"):
        op.create_index(
            f"ix_access_requests_{of}_created_at_id", "access_requests", [of, "created_at", "id"]
        )
    op.add_column("access_tokens", sa.Column("exceptions", sa.Text()))
    op.add_column("access_tokens", sa.Column("exceptions_end_at", sa.BigInteger()))
    op.create_index(
        "ix_access_tokens_excepted",
        "access_tokens",
        ["exceptions_end_at"],
        sqlite_where=_EXCEPTED,
        postgresql_where=_EXCEPTED,
    )
