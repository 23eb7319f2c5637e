"""``gatepass allowlist``: break-glass for a company locked out of its own account."""

from collections.abc import Sequence
from typing import Annotated

import typer

from gatepass.cli.installation import changing, reading
from gatepass.cli.output import (
    AsJson,
    as_sent,
    print_json,
    print_result,
    print_table,
    when,
)
from gatepass.cli.tree import app
from gatepass.core.display_text import printable
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.web.api.records.allowlist import Allowlist

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="allowlist")

CompanyName = Annotated[str, typer.Option("--company", help="The company's name.", metavar="NAME")]


@group.command()
def show(company: CompanyName, json: AsJson = False) -> None:
    """Show a company's allowlist: the networks its account can be used from."""
    with reading() as transaction:
        named = companies.named(transaction, company)
        found = allowlist.show(transaction, Actor.command_line(), named.id)
    if json:
        print_json(as_sent(Allowlist, found))
    elif found.entries:
        _print(found.entries)
    else:
        typer.echo("There is no allowlist: the account can be used from anywhere.", err=True)
    if found.trial_until is not None and not json:
        typer.echo(f"On trial until {when(found.trial_until)}. Then reverted to:", err=True)
        if found.settled:
            _print(found.settled)
        else:
            typer.echo("No allowlist: the account can be used from anywhere.", err=True)


@group.command()
def clear(company: CompanyName, json: AsJson = False) -> None:
    """Remove a company's allowlist at once, also one on trial."""
    with changing() as change:
        found = companies.named(change, company)
        lifted = allowlist.replace(change, Actor.command_line(), found.id, [])
    sentence = f"{printable(found.name)} can be used from anywhere again."
    print_result(json, Allowlist, lifted, sentence)


def _print(entries: Sequence[Entry]) -> None:
    print_table(("Network", "Note"), ((entry.network, entry.note) for entry in entries))
