"""``gatepass allowlist``: break-glass for a company locked out of its own account."""

from typing import Annotated

import typer
from sqlalchemy.orm import Session

from gatepass.cli.installation import opened
from gatepass.cli.output import AsJson, print_json, print_table
from gatepass.cli.tree import app
from gatepass.core.errors import NotFound
from gatepass.registry import allowlist, companies
from gatepass.registry.actor import Actor
from gatepass.registry.companies import Company

group = typer.Typer(help="A company's allowlist.", no_args_is_help=True)
app.add_typer(group, name="allowlist")

CompanyName = Annotated[str, typer.Option("--company", help="The company's name.", metavar="NAME")]


@group.command()
def show(company: CompanyName, json: AsJson = False) -> None:
    """Show from which networks a company's account can be reached."""
    with opened() as node, node.database.reading(node.clock.now()) as session:
        entries = allowlist.show(session, Actor.command_line(), _named(session, company).id)
    if json:
        print_json({"entries": [{"network": e.network, "note": e.note} for e in entries]})
    elif entries:
        print_table(("Network", "Note"), ((e.network, e.note) for e in entries))
    else:
        typer.echo("There is no allowlist: the account can be reached from anywhere.", err=True)


@group.command()
def clear(company: CompanyName, json: AsJson = False) -> None:
    """Lift a company's allowlist, at once."""
    with opened(accept_clock=True) as node, node.database.changing(node.clock.now()) as session:
        found = _named(session, company)
        allowlist.replace(session, Actor.command_line(), found.id, [])
    if json:
        print_json({"entries": []})
    else:
        typer.echo(f"{found.name} can be reached from anywhere again.", err=True)


def _named(session: Session, name: str) -> Company:
    found = companies.by_name(session, name)
    if found is None:
        raise NotFound(f"There is no company named {name!r}.")
    return found
