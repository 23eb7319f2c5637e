"""``gatepass migrate``: bring the schema up to date."""

import typer

from gatepass.cli.installation import opened
from gatepass.cli.tree import app
from gatepass.registry.storage.schema import migrate as migrate_schema


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    with opened(schemas=("current", "old")) as node:
        done = migrate_schema(node.database)
    typer.echo("The schema is up to date." if done else "Nothing to do.", err=True)
