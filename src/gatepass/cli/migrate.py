"""``gatepass migrate``: updates the database's schema."""

import typer

from gatepass.cli.installation import opened
from gatepass.cli.tree import app
from gatepass.registry.storage.schema import migrate as migrate_schema


@app.command()
def migrate() -> None:
    """Update the database's schema to this version."""
    with opened(schemas=("current", "old")) as node:
        done = migrate_schema(node.database)
    typer.echo("The schema is up to date." if done else "Nothing to do.", err=True)
