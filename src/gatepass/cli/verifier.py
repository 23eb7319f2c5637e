"""``gatepass verifier``: the keys with which services and embedded verifiers authenticate."""

from typing import Annotated

import typer

from gatepass.cli.installation import opened
from gatepass.cli.output import (
    AsJson,
    as_sent,
    print_json,
    print_table,
    printable,
    warn_unconfirmed,
    when,
)
from gatepass.cli.tree import app
from gatepass.registry.actor import Actor
from gatepass.registry.directory import verifier_keys
from gatepass.registry.storage.paging import each
from gatepass.web.api.verifier_keys import VerifierKey

Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]

group = typer.Typer(
    help="Verifier keys, for services and embedded verifiers.", no_args_is_help=True
)
app.add_typer(group, name="verifier")


@group.command()
def create(
    label: Annotated[str, typer.Option(help="Who will use it.")], json: AsJson = False
) -> None:
    """Create a verifier key and print it; it can't be shown again."""
    with opened() as node, node.database.write(node.clock.now()) as change:
        key, text = verifier_keys.create(change, Actor.command_line(), label=label)
    warn_unconfirmed(change)
    if json:
        print_json({**as_sent(VerifierKey.model_validate(key)), "key": text})
    else:
        typer.echo(text)
        typer.echo("Store it now: it can't be shown again.", err=True)


@group.command("list")
def list_(json: AsJson = False) -> None:
    """List all verifier keys, without their texts."""
    with opened() as node, node.database.read(node.clock.now()) as reading:
        actor = Actor.command_line()
        keys = list(each(lambda cursor: verifier_keys.list_(reading, actor, cursor=cursor)))
    if json:
        items = [as_sent(VerifierKey.model_validate(key)) for key in keys]
        print_json({"items": items, "next": None})
        return
    print_table(
        ("Id", "Label", "Status", "Created"),
        ((key.id, key.label, key.status, when(key.created_at)) for key in keys),
    )


@group.command()
def deactivate(id: Id, json: AsJson = False) -> None:
    """Deactivate a verifier key for good, at once."""
    with opened() as node, node.database.write(node.clock.now()) as change:
        key = verifier_keys.deactivate(change, Actor.command_line(), id)
    warn_unconfirmed(change)
    if json:
        print_json(as_sent(VerifierKey.model_validate(key)))
    else:
        typer.echo(f"{key.id} ({printable(key.label)}) is deactivated.", err=True)
