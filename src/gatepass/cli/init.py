"""``gatepass init``: a company and its administrator; in an empty database the schema first."""

import sys
from typing import Annotated

import typer

from gatepass.cli.installation import opened
from gatepass.cli.main import app
from gatepass.core.errors import InvalidInput, Misconfigured
from gatepass.registry import companies, passwords, users
from gatepass.registry.actor import Actor
from gatepass.registry.schema import create_schema, schema_state

_LONGEST_INPUT = 8_192


@app.command()
def init(
    company: Annotated[str, typer.Option(help="The company's name.", metavar="NAME")],
    email: Annotated[str, typer.Option(help="Its administrator's e-mail address.")],
    name: Annotated[
        str, typer.Option(help="The administrator's name; else what stands before the @.")
    ] = "",
    operator: Annotated[
        bool, typer.Option("--operator", help="Also an operator (the first one always is).")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Create a company and its administrator, and the schema in an empty database."""
    with opened(any_schema=True) as node:
        state = schema_state(node.database)
        if state in ("old", "newer"):
            raise Misconfigured(f"the database's schema is {state}: see gatepass migrate")
        password = _password(password_stdin)
        passwords.check_rules(password, email=email, company_name=company)
        password_hash = passwords.hash(password)
        if state == "empty":
            create_schema(node.database)
        actor = Actor.command_line()
        with node.database.changing(node.clock.now()) as session:
            first = not companies.any_exist(session)
            made = companies.create(session, actor, catalogue=node.catalogue, name=company)
            user = users.create(
                session,
                actor,
                company=made.id,
                email=email,
                name=name or email.partition("@")[0],
                role="admin",
                password_hash=password_hash,
                operator=first or operator,
            )
    typer.echo(f"{made.name} is set up. {user.email} is its administrator.", err=True)
    typer.echo("Next: gatepass serve", err=True)


def _password(from_stdin: bool) -> str:
    if not from_stdin:
        chosen: str = typer.prompt(
            "Password (at least 15 characters)", hide_input=True, confirmation_prompt=True, err=True
        )
        return chosen
    content = sys.stdin.buffer.read(_LONGEST_INPUT)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput([("password", "it is not UTF-8 text")]) from None
    return text.removesuffix("\n").removesuffix("\r")
