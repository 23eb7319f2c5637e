"""``gatepass migrate``: updates the database's schema."""

from collections.abc import Sequence
from typing import Annotated

import typer

from gatepass.cli.installation import opened
from gatepass.cli.output import print_json, print_table
from gatepass.cli.tree import app
from gatepass.registry.storage.schema import Step, plan
from gatepass.registry.storage.schema import migrate as migrate_schema


@app.command()
def migrate(
    show_plan: Annotated[
        bool, typer.Option("--plan", help="Show what would be done, and change nothing.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Update the database's schema to this version."""
    if json and not show_plan:
        raise typer.BadParameter("needs --plan", param_hint="--json")
    with opened(schemas=("current", "old")) as node:
        if show_plan:
            _show(plan(node.database), json=json)
            return
        done = migrate_schema(node.database)
    typer.echo("The schema is up to date." if done else "Nothing to do.", err=True)


def _show(steps: Sequence[Step], *, json: bool) -> None:
    stop = any(step.contract for step in steps)
    if json:
        print_json({"stop_nodes": stop, "steps": [step._asdict() for step in steps]})
        return
    if not steps:
        typer.echo("Nothing to do.", err=True)
        return
    print_table(
        ("Version", "Kind", "What it changes"),
        ((one.version, "contract" if one.contract else "expand", one.summary) for one in steps),
    )
    if stop:
        typer.echo("Stop every node before you migrate.", err=True)
    else:
        typer.echo("Nodes of the former version go on meanwhile.", err=True)
