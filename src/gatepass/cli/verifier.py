"""``gatepass verifier``: the keys with which services and embedded verifiers authenticate."""

from typing import Annotated

import typer

from gatepass.cli.installation import changing, every
from gatepass.cli.output import (
    AsJson,
    as_sent,
    print_json,
    print_list,
    print_result,
    when,
)
from gatepass.cli.tree import app
from gatepass.core.display_text import printable
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, verifier_keys
from gatepass.web.api.records.verifier_keys import VerifierKey

Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="verifier")


@group.command()
def create(
    label: Annotated[str, typer.Option(help="Who will use it.")],
    company: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="The only company it decides for; repeatable."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Create a verifier key and print it; it can't be shown again."""
    with changing() as change:
        only = None if not company else [companies.named(change, name).id for name in company]
        key, text = verifier_keys.create(change, Actor.command_line(), label=label, companies=only)
    if json:
        print_json({**as_sent(VerifierKey, key), "key": text})
    else:
        typer.echo(text)
        typer.echo("Store it now: it can't be shown again.", err=True)


@group.command("list")
def list_(json: AsJson = False) -> None:
    """List all verifier keys, without their texts."""
    print_list(
        json,
        VerifierKey,
        every(verifier_keys.list_),
        ("Id", "Label", "Companies", "Status", "Created"),
        lambda key: (
            key.id,
            key.label,
            "all" if key.companies is None else ", ".join(key.companies),
            key.status,
            when(key.created_at),
        ),
    )


@group.command()
def deactivate(id: Id, json: AsJson = False) -> None:
    """Deactivate a verifier key for good, at once."""
    with changing() as change:
        key = verifier_keys.deactivate(change, Actor.command_line(), id)
    sentence = f"{key.id} ({printable(key.label)}) is deactivated."
    print_result(json, VerifierKey, key, sentence)
