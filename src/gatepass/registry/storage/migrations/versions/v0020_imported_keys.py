"""Keys of other systems that were imported as access tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("access_tokens", sa.Column("imported_prefix", _KEY))
