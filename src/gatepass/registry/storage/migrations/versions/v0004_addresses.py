"""E-mail addresses: unique among active users alone, and changes of them that wait for a link."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ACTIVE = sa.text("deactivated_at IS NULL")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rebuild_users()
    else:
        op.drop_constraint("uq_users_email_folded", "users", type_="unique")
    op.create_index("ix_users_email_folded", "users", ["email_folded"])
    op.create_index(
        "ix_users_active_email_folded",
        "users",
        ["email_folded"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_table(
        "email_changes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("user_id", _KEY, nullable=False),
        sa.Column("former_email", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("requested_by", _KEY),
        sa.Column("requested_by_name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("link_id", _KEY),
        sa.Column("link_digest", sa.LargeBinary()),
        sa.Column("used_at", sa.BigInteger()),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("deactivated_by", _KEY),
        sa.Column("deactivated_by_name", sa.Text()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_email_changes_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_email_changes"),
        sa.UniqueConstraint("link_id", name="uq_email_changes_link_id"),
    )
    op.create_index(
        "ix_email_changes_user_id_created_at", "email_changes", ["user_id", "created_at"]
    )


def _rebuild_users() -> None:
    """Make the table anew without its unique constraint, which SQLite can't drop.

    Within a transaction SQLite goes on enforcing foreign keys. Deferred, the references that
    DROP TABLE breaks count as whole again once a table of the same name has the same rows; one
    that is renamed into its place wouldn't do.
    """
    op.execute("PRAGMA defer_foreign_keys = ON")
    # Each user that goes and comes is looked up in whatever refers to users.
    op.create_index("ix_invitations_invited_by", "invitations", ["invited_by"])
    op.execute("CREATE TABLE former_users AS SELECT * FROM users")
    op.drop_table("users")
    columns: tuple[sa.Column[object], ...] = (
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
        sa.Column("last_sign_in_at", sa.BigInteger()),
        sa.Column("totp_sealed", sa.LargeBinary()),
        sa.Column("totp_last_step", sa.BigInteger()),
    )
    op.create_table(
        "users",
        *columns,
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], name="fk_users_company_id"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    names = ", ".join(column.name for column in columns)
    op.execute(f"INSERT INTO users ({names}) SELECT {names} FROM former_users")  # noqa: S608 - the names above
    op.drop_table("former_users")
    op.drop_index("ix_invitations_invited_by", "invitations")
    op.create_index(
        "ix_users_company_id_created_at_id", "users", ["company_id", "created_at", "id"]
    )
