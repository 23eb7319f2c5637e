"""Many nodes: what changed at which revision, who decides by a copy, deactivation receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "changed_records",
        sa.Column("revision", _ROW, nullable=False, autoincrement=False),
        sa.Column("record_table", _KEY, nullable=False),
        sa.Column("record_id", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("revision", "record_table", "record_id", name="pk_changed_records"),
    )
    # What changed until now isn't in the new table: a copy older than this moment is built anew.
    op.execute("DELETE FROM revisions WHERE number < (SELECT number FROM revision)")
    for table in ("grants", "holders", "company_rules"):
        op.execute(f"DROP INDEX IF EXISTS ix_{table}_revision")
    op.create_table(
        "nodes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("key_id", _KEY),
        sa.Column("limits", sa.Text()),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("vouched_at", sa.BigInteger(), nullable=False),
        sa.Column("staleness_ms", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
    op.create_table(
        "receipts",
        sa.Column("revision", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("subject_id", _KEY, nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_name", sa.Text(), nullable=False),
        sa.Column("company_id", _KEY),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("committed_at", sa.BigInteger()),
        sa.Column("completed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("revision", "subject_id", name="pk_receipts"),
    )
    op.create_index("ix_receipts_subject_id_revision", "receipts", ["subject_id", "revision"])
    op.create_index("ix_receipts_completed_at", "receipts", ["completed_at"])
    op.create_table(
        "receipt_confirmations",
        sa.Column("revision", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("node_id", _KEY, nullable=False),
        sa.Column("node_name", sa.Text(), nullable=False),
        sa.Column("node_kind", sa.Text(), nullable=False),
        sa.Column("staleness_ms", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("revision", "node_id", name="pk_receipt_confirmations"),
    )
    op.create_index(
        "ix_receipt_confirmations_node_id_confirmed_at",
        "receipt_confirmations",
        ["node_id", "confirmed_at"],
    )
