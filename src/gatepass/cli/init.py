"""``gatepass init``: creates a company with its administrator, and an empty database's schema."""

import getpass
import sys
import warnings
from typing import Annotated, TextIO

import typer

from gatepass.cli.installation import opened
from gatepass.cli.output import AsJson, print_json, warn_unconfirmed
from gatepass.cli.tree import app
from gatepass.core.display_text import printable
from gatepass.core.errors import InvalidInput, Misconfigured
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords
from gatepass.registry.directory import companies, users
from gatepass.registry.directory.companies import Company
from gatepass.registry.input.emails import read_email
from gatepass.registry.input.text import read_label
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.schema import create_schema, require_utf8, schema_state

_LONGEST_INPUT = 8_192


@app.command()
def init(
    company: Annotated[str, typer.Option(help="The company's name.", metavar="NAME")],
    email: Annotated[str, typer.Option(help="Its administrator's e-mail address.")],
    name: Annotated[
        str, typer.Option(help="The administrator's name; by default the part before the @.")
    ] = "",
    operator: Annotated[
        bool, typer.Option("--operator", help="Make them an operator (the first one always is).")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Create a company and its administrator, and the schema in an empty database."""
    with opened(schemas=("empty", "current")) as node:
        require_utf8(node.database)
        name = name or email.partition("@")[0]
        _check(company, email, name)
        password = _read(sys.stdin) if password_stdin else _ask()
        passwords.check_rules(password, email=email, company_name=company)
        password_hash = passwords.hash(password)
        if schema_state(node.database) == "empty":
            try:
                create_schema(node.database)
            except Misconfigured:
                # A concurrent init has created the schema.
                if schema_state(node.database) != "current":
                    raise
        actor = Actor.command_line()
        with node.database.write(node.clock.now()) as change:
            first = not companies.any_exist(change)
            record = _without_administrator(change, company) or companies.create(
                change, actor, catalogue=node.catalogue, name=company
            )
            user = users.create(
                change,
                actor,
                company=record.id,
                email=email,
                name=name,
                role="admin",
                password_hash=password_hash,
                operator=first or operator,
            )
    warn_unconfirmed(change)
    if json:
        administrator = {"id": user.id, "email": user.email, "operator": user.operator}
        print_json({"company": {"id": record.id, "name": record.name}, "user": administrator})
        return
    typer.echo(f"{printable(record.name)} is set up. {user.email} is its administrator.", err=True)
    typer.echo("Next: gatepass serve", err=True)


def _check(company: str, email: str, name: str) -> None:
    """Check what was typed, by its option, before anyone is asked for a password."""
    read_label("company", company)
    read_email("email", email)
    read_label("name", name)


def _without_administrator(reading: Reading, name: str) -> Company | None:
    """The company of that name, if it exists and has no active administrator."""
    named = companies.by_name(reading, name)
    return next((one for one in companies.without_administrator(reading) if one == named), None)


def _ask() -> str:
    """Ask for the password, twice, without echo."""
    with warnings.catch_warnings():
        # Fail rather than echo the password.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            password = getpass.getpass("Password (at least 15 characters): ")
            again = getpass.getpass("The same again: ")
        except getpass.GetPassWarning:
            raise Misconfigured(
                "there is no terminal to ask for the password on; use --password-stdin"
            ) from None
        except EOFError:
            raise typer.Abort from None
    if password != again:
        raise InvalidInput([("password", "Must be the same both times.")])
    return password


def _read(stdin: TextIO) -> str:
    """All of standard input, without one newline at its end."""
    content = stdin.buffer.read(_LONGEST_INPUT)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput([("password", "Must be UTF-8 text.")]) from None
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
