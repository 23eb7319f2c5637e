"""``gatepass user``: account recovery, for users without an administrator who could help."""

from typing import Annotated

import typer

from gatepass.cli.installation import changing, opened
from gatepass.cli.output import AsJson, print_json, print_result, warn_unconfirmed
from gatepass.cli.tree import app
from gatepass.core.display_text import printable
from gatepass.core.errors import Conflict, InvalidInput, Misconfigured, NotFound
from gatepass.oidc.claims import read_id
from gatepass.oidc.errors import TokenRefused
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import identities, throttling, totp_reset
from gatepass.registry.directory import companies, users
from gatepass.registry.directory.users import User as Found
from gatepass.registry.membership import email_change_links, operators, password_resets
from gatepass.registry.storage.database import Reading
from gatepass.web.api.records.users import User
from gatepass.web.times import format_time

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="user")

_Email = Annotated[str, typer.Argument(metavar="EMAIL", show_default=False)]


@group.command()
def second_factor_off(email: _Email, json: AsJson = False) -> None:
    """Turn off a user's lost second factor at once; deactivates all their sign-ins."""
    with changing() as change:
        found = _active(change, email)
        if not found.second_factor:
            raise Conflict(f"{found.email} has no second factor.", reason="second_factor_missing")
        user = totp_reset.turn_off_second_factor(change, Actor.command_line(), found.id)
        whose = _who(change, user)
    sentence = f"The second factor of {whose} is turned off, and all their sign-ins have ended."
    print_result(json, User, user, sentence)


@group.command()
def email(
    old: Annotated[str, typer.Argument(metavar="OLD", show_default=False)],
    new: Annotated[str, typer.Argument(metavar="NEW", show_default=False)],
    json: AsJson = False,
) -> None:
    """Change a user's e-mail address at once.

    A notice is mailed to the old address, if a mail server is set up.
    """
    with changing() as change:
        found = _active(change, old)
        user = email_change_links.change_at_once(change, Actor.command_line(), found.id, new)
        who = _who(change, found)
    sentence = f"Changed {who} to {user.email}. Sign-ins stay valid."
    print_result(json, User, user, sentence)


@group.command()
def operator(
    email: _Email,
    off: Annotated[bool, typer.Option("--off", help="Make them no longer an operator.")] = False,
    json: AsJson = False,
) -> None:
    """Make a user an operator, who manages the installation."""
    with changing() as change:
        found = _active(change, email)
        user = operators.name_operator(change, Actor.command_line(), found.id, operator=not off)
        who = _who(change, user)
    sentence = f"{who} is {'no longer' if off else 'now'} an operator."
    print_result(json, User, user, sentence)


@group.command()
def reset_link(email: _Email, json: AsJson = False) -> None:
    """Print a single-use link to set a new password, for when mail doesn't arrive."""
    with opened() as node:
        with node.database.auxiliary_write(node.clock.now()) as write:
            user = _active(write, email)
            token, expires_at = password_resets.take_link(
                write,
                Actor.command_line(),
                user,
                operators_only=node.settings.oidc_required,
            )
            who = _who(write, user)
        url = f"{node.settings.public_url}/password-resets/{token}"
    if json:
        print_json({"url": url, "expires_at": format_time(expires_at)})
    else:
        typer.echo(url)
        typer.echo(f"Give it only to {who}: it works once, within an hour.", err=True)


@group.command()
def link(
    email: _Email,
    subject: Annotated[
        str, typer.Option(help="The provider's id of the account.", show_default=False)
    ],
    json: AsJson = False,
) -> None:
    """Link a user to an account at the OIDC provider, in place of an earlier one.

    The account with that subject signs in as the user from then on.
    """
    try:
        read_id({"sub": subject}, "sub")
    except TokenRefused:
        problem = "Must have 1 to 255 printable characters."
        raise InvalidInput([("subject", problem)]) from None
    with opened() as node:
        issuer = node.settings.oidc_issuer
        if issuer is None:
            raise Misconfigured("GATEPASS_OIDC_ISSUER: must be set to link users to accounts")
        with node.database.write(node.clock.now()) as change:
            user = _active(change, email)
            identities.assign(change, Actor.command_line(), user, issuer=issuer, subject=subject)
            who = _who(change, user)
    warn_unconfirmed(change)
    print_result(json, User, user, f"{who} is linked to {printable(subject)} at {issuer}.")


def _active(reading: Reading, email: str) -> Found:
    found = users.by_email(reading, email)
    if found is None:
        raise NotFound("There is no such user.")
    return found


def _who(reading: Reading, user: Found) -> str:
    """A user with their company, since the commands act on all companies."""
    company = companies.get(reading, user.company).name
    return f"{user.email} ({printable(user.name)}, {printable(company)})"


@group.command()
def unlock(email: _Email, json: AsJson = False) -> None:
    """Clear a user's failed sign-ins, so that they can sign in again at once."""
    with opened() as node, node.database.auxiliary_write(node.clock.now()) as write:
        user = throttling.unlock(write, Actor.command_line(), email)
        whose = _who(write, user)
    print_result(json, User, user, f"The failed sign-ins of {whose} no longer count.")
