"""Sign-ins by source: from which addresses, IPv6 by /64, an account was opened lately."""

import ipaddress
import time

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_LATELY_MS = 30 * 86_400_000
_AT_ONCE = 1_000


def upgrade() -> None:
    op.add_column("authentications", sa.Column("source", _KEY))
    _fill()
    op.create_index(
        "ix_authentications_user_id_source_created_at",
        "authentications",
        ["user_id", "source", "created_at"],
    )
    op.add_column("password_resets", sa.Column("used_from", _KEY))
    op.create_index(
        "ix_password_resets_user_id_used_from_used_at",
        "password_resets",
        ["user_id", "used_from", "used_at"],
    )


def _fill() -> None:
    """Fill the new column in where it counts, so that an upgrade makes nobody's address unknown."""
    connection = op.get_bind()
    since = {"since": int(time.time() * 1000) - _LATELY_MS}
    connection.execute(
        sa.text(
            "UPDATE authentications SET source = address "
            "WHERE created_at > :since AND address NOT LIKE '%:%'"
        ),
        since,
    )
    found = connection.execute(
        sa.text(
            "SELECT id, address FROM authentications "
            "WHERE created_at > :since AND address LIKE '%:%'"
        ),
        since,
    ).all()
    for start in range(0, len(found), _AT_ONCE):
        connection.execute(
            sa.text("UPDATE authentications SET source = :source WHERE id = :id"),
            [
                {"id": id, "source": str(ipaddress.ip_network((address, 64), strict=False))}
                for id, address in found[start : start + _AT_ONCE]
            ],
        )
