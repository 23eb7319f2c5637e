"""``gatepass admin-key``: the keys with which a platform's backend manages companies."""

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
from gatepass.registry.directory import admin_keys, companies
from gatepass.web.api.records.admin_keys import AdminKey

Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]

_DAY_MS = 86_400_000

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="admin-key")


@group.command()
def create(
    label: Annotated[str, typer.Option(help="Who will use it.")],
    company: Annotated[
        str | None, typer.Option(metavar="NAME", help="The only company that it may manage.")
    ] = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(help="What it may manage; repeatable. " + ", ".join(admin_keys.AREAS) + "."),
    ] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="Where it may be used; repeatable.")
    ] = None,
    expires_in: Annotated[
        int | None, typer.Option(metavar="DAYS", min=1, max=36_500, help="Days until it expires.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Create an admin key and print it; it can't be shown again."""
    with changing() as change:
        key, text = admin_keys.create(
            change,
            Actor.command_line(),
            label=label,
            company=None if company is None else companies.named(change, company).id,
            permissions=permission or (),
            networks=network or (),
            expires_at=None if expires_in is None else change.now + expires_in * _DAY_MS,
        )
    if json:
        print_json({**as_sent(AdminKey, key), "key": text})
    else:
        typer.echo(text)
        typer.echo("Store it now: it can't be shown again.", err=True)


@group.command("list")
def list_(json: AsJson = False) -> None:
    """List all admin keys, without their texts."""
    print_list(
        json,
        AdminKey,
        every(admin_keys.list_),
        ("Id", "Label", "Status", "Company", "Permissions", "Networks", "Expires", "Created"),
        lambda key: (
            key.id,
            key.label,
            key.status,
            key.company or "all",
            ", ".join(key.permissions),
            ", ".join(key.networks) or "anywhere",
            when(key.expires_at),
            when(key.created_at),
        ),
    )


@group.command()
def deactivate(id: Id, json: AsJson = False) -> None:
    """Deactivate an admin key for good, at once."""
    with changing() as change:
        key = admin_keys.deactivate(change, Actor.command_line(), id)
    print_result(json, AdminKey, key, f"{key.id} ({printable(key.label)}) is deactivated.")
