"""Webhooks, and the deliveries of events to them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_WAITING = sa.text("delivered_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("by_operator", sa.Boolean(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("former_sealed", sa.LargeBinary()),
        sa.Column("former_until", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY),
        sa.Column("created_by_name", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.BigInteger()),
        sa.Column("paused_because", sa.Text()),
        sa.Column("resuming", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name="fk_webhooks_company_id"),
    )
    op.create_index(
        "ix_webhooks_company_id_created_at_id", "webhooks", ["company_id", "created_at", "id"]
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("id", _KEY, nullable=False),
        sa.Column("webhook_id", _KEY, nullable=False),
        sa.Column("event_id", _KEY, nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject_id", _KEY, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.BigInteger()),
        sa.Column("last_at", sa.BigInteger()),
        sa.Column("took_ms", sa.Integer()),
        sa.Column("status", sa.Integer()),
        sa.Column("trouble", sa.Text()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("number", name="pk_webhook_deliveries"),
        sa.UniqueConstraint("id", name="uq_webhook_deliveries_id"),
    )
    for name, columns, where in (
        ("webhook_id_number", ["webhook_id", "number"], None),
        ("created_at", ["created_at"], None),
        ("due", ["webhook_id", "due_at", "number"], _WAITING),
        ("waiting", ["webhook_id", "subject_id", "number"], _WAITING),
    ):
        op.create_index(
            f"ix_webhook_deliveries_{name}",
            "webhook_deliveries",
            columns,
            sqlite_where=where,
            postgresql_where=where,
        )
