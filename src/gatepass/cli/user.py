"""``gatepass user``: a way back for the last administrator, and for whoever is locked out."""

from typing import Annotated

import typer

from gatepass.cli.installation import opened
from gatepass.cli.output import AsJson, as_sent, print_json, warn_unconfirmed
from gatepass.cli.tree import app
from gatepass.core.errors import Conflict, NotFound
from gatepass.registry import throttling, user_changes, users
from gatepass.registry.actor import Actor
from gatepass.web.api.users import User

group = typer.Typer(help="Users of all companies.", no_args_is_help=True)
app.add_typer(group, name="user")


@group.command()
def second_factor_off(
    email: Annotated[str, typer.Argument(metavar="EMAIL", show_default=False)],
    json: AsJson = False,
) -> None:
    """Turn off the second factor of someone who lost it, at once; all their sign-ins end."""
    with opened() as node, node.database.changing(node.clock.now()) as change:
        found = users.by_email(change.session, email)
        if found is None:
            raise NotFound("There is no such user.")
        if not found.second_factor:
            raise Conflict(f"{found.email} has no second factor.", reason="second_factor_missing")
        user = user_changes.turn_off_second_factor(change.session, Actor.command_line(), found.id)
    warn_unconfirmed(change)
    if json:
        print_json(as_sent(User.model_validate(user)))
    else:
        typer.echo(
            f"The second factor of {user.email} is turned off, and all their sign-ins have ended.",
            err=True,
        )


@group.command()
def unlock(
    email: Annotated[str, typer.Argument(metavar="EMAIL", show_default=False)],
    json: AsJson = False,
) -> None:
    """Clear the failed sign-ins of someone who is locked out by them, at once."""
    with opened() as node, node.database.counting(node.clock.now()) as session:
        user = throttling.unlock(session, Actor.command_line(), email)
    if json:
        print_json(as_sent(User.model_validate(user)))
    else:
        typer.echo(f"The failed sign-ins of {user.email} no longer count.", err=True)
