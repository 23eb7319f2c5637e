"""The first schema."""

import secrets

import sqlalchemy as sa
from alembic import op

from gatepass.verify import grant_file

revision = "0001"
down_revision = None

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # The three tables that decisions read belong to the grant file, whatever the engine.
    for statement in grant_file.ddl(op.get_bind().dialect.name):
        op.execute(statement)
    op.create_table(
        "audit_events",
        sa.Column("number", _ROW, nullable=False),
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", _KEY),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("actor_credential", _KEY),
        sa.Column("address", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", _KEY, nullable=False),
        sa.Column("subject_name", sa.Text(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_audit_events"),
        sa.UniqueConstraint("id", name="uq_audit_events_id"),
    )
    op.create_index(
        "ix_audit_events_company_id_at_number", "audit_events", ["company_id", "at", "number"]
    )
    op.create_index(
        "ix_audit_events_subject_id_at_number", "audit_events", ["subject_id", "at", "number"]
    )
    op.create_table(
        "companies",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_folded", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_companies"),
        sa.UniqueConstraint("name_folded", name="uq_companies_name_folded"),
    )
    op.create_table(
        "decision_counts",
        sa.Column("reason", _KEY, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reason", name="pk_decision_counts"),
    )
    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
    )
    op.create_table(
        "revisions",
        sa.Column("number", _ROW, autoincrement=False, nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_revisions"),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("number", _ROW, nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_sign_in_failures"),
    )
    op.create_index("ix_sign_in_failures_at", "sign_in_failures", ["at"])
    op.create_index("ix_sign_in_failures_key_at", "sign_in_failures", ["key", "at"])
    op.create_table(
        "token_use",
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("last_address", sa.Text()),
        sa.Column("last_permission", sa.Text()),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name="pk_token_use"),
    )
    op.create_table(
        "token_use_addresses",
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("address", _KEY, nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "address", name="pk_token_use_addresses"),
    )
    op.create_table(
        "token_use_days",
        sa.Column("token_id", _KEY, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "day", name="pk_token_use_days"),
    )
    op.create_index("ix_token_use_days_day", "token_use_days", ["day"])
    op.create_table(
        "usage_spools",
        sa.Column("name", _KEY, nullable=False),
        sa.Column("folded_to", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_usage_spools"),
    )
    op.create_table(
        "verifier_keys",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY),
        sa.Column("created_by_name", sa.Text(), nullable=False),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_verifier_keys"),
    )
    op.create_table(
        "allowlist_entries",
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_allowlist_entries_company_id"
        ),
        sa.PrimaryKeyConstraint("company_id", "position", name="pk_allowlist_entries"),
    )
    op.create_table(
        "roles",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_folded", _KEY, nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name="fk_roles_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_roles"),
        sa.UniqueConstraint("company_id", "name_folded", name="uq_roles_company_id_name_folded"),
    )
    op.create_table(
        "users",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_folded", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", _KEY, nullable=False),
        sa.Column("operator", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name="fk_users_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email_folded", name="uq_users_email_folded"),
    )
    op.create_index(
        "ix_users_company_id_created_at_id", "users", ["company_id", "created_at", "id"]
    )
    op.create_table(
        "access_tokens",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("label_folded", _KEY, nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("networks", sa.Text(), nullable=False),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _KEY, nullable=False),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.Column("form_id", _KEY),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_access_tokens_company_id"
        ),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_access_tokens_created_by"),
        sa.PrimaryKeyConstraint("id", name="pk_access_tokens"),
        sa.UniqueConstraint("created_by", "form_id", name="uq_access_tokens_created_by_form_id"),
    )
    op.create_index(
        "ix_access_tokens_search",
        "access_tokens",
        ["company_id", "created_at", "id", "deactivated_at", "expires_at", "kind", "label_folded"],
    )
    op.create_table(
        "authentications",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.Column("user_agent", sa.Text()),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_authentications_company_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_authentications_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_authentications"),
    )
    op.create_index(
        "ix_authentications_company_id_created_at_id",
        "authentications",
        ["company_id", "created_at", "id"],
    )
    op.create_index(
        "ix_authentications_user_id_created_at_id",
        "authentications",
        ["user_id", "created_at", "id"],
    )
    # Random from the very beginning: two installations never share a history.
    beginning = {"tag": secrets.token_hex(8)}
    connection = op.get_bind()
    connection.execute(
        sa.text("INSERT INTO revision (id, number, tag) VALUES (1, 0, :tag)"), beginning
    )
    connection.execute(
        sa.text("INSERT INTO revisions (number, tag, at) VALUES (0, :tag, 0)"), beginning
    )
