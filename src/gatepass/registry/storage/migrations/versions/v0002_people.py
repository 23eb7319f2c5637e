"""People: invitations, password resets, second factors, allowlists on trial, outgoing mail."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column(
        "companies",
        sa.Column(
            "second_factor_required", sa.Boolean(), nullable=False, server_default=sa.false()
        ),
    )
    op.add_column("companies", sa.Column("allowlist_trial_until", sa.BigInteger()))
    op.add_column("users", sa.Column("last_sign_in_at", sa.BigInteger()))
    op.add_column("users", sa.Column("totp_sealed", sa.LargeBinary()))
    op.add_column("users", sa.Column("totp_last_step", sa.BigInteger()))
    # Whoever signed in before there was a column for it did so at their latest authentication.
    op.execute(
        "UPDATE users SET last_sign_in_at = (SELECT max(created_at) FROM authentications "
        "WHERE authentications.user_id = users.id)"
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_recovery_codes_user_id"),
        sa.PrimaryKeyConstraint("user_id", "digest", name="pk_recovery_codes"),
    )
    op.create_table(
        "allowlist_trial_entries",
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("network", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_allowlist_trial_entries_company_id"
        ),
        sa.PrimaryKeyConstraint("company_id", "position", name="pk_allowlist_trial_entries"),
    )
    op.create_table(
        "invitations",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_folded", _KEY, nullable=False),
        sa.Column("role", _KEY, nullable=False),
        sa.Column("invited_by", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("link_id", _KEY),
        sa.Column("link_digest", sa.LargeBinary()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("accepted_at", sa.BigInteger()),
        sa.Column("accepted_by", _KEY),
        *_ended(),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name="fk_invitations_company_id"),
        sa.ForeignKeyConstraint(["invited_by"], ["users.id"], name="fk_invitations_invited_by"),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("link_id", name="uq_invitations_link_id"),
    )
    op.create_table(
        "password_resets",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("link_id", _KEY),
        sa.Column("link_digest", sa.LargeBinary()),
        sa.Column("used_at", sa.BigInteger()),
        *_ended(),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_password_resets_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_password_resets"),
        sa.UniqueConstraint("link_id", name="uq_password_resets_link_id"),
    )
    op.create_table(
        "outgoing_mail",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", _KEY, nullable=False),
        sa.Column("company_id", _KEY, nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.Text()),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["company_id"], ["companies.id"], name="fk_outgoing_mail_company_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_outgoing_mail"),
    )
    for table, columns in (
        ("authentications", ["user_id", "expires_at"]),
        ("invitations", ["company_id", "created_at", "id"]),
        ("invitations", ["email_folded"]),
        ("password_resets", ["user_id", "created_at"]),
        ("outgoing_mail", ["state", "due_at"]),
        ("outgoing_mail", ["subject_id", "created_at"]),
        ("audit_events", ["company_id", "actor_id", "at", "number"]),
        ("audit_events", ["company_id", "action", "at", "number"]),
        ("audit_events", ["actor_credential", "at", "number"]),
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def _ended() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
    )
