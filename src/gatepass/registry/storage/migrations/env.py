"""Alembic's environment: the steps run in the connection and transaction that was handed in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
