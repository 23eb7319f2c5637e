"""``gatepass catalogue``: validates a catalogue file, and makes one from an OpenAPI document."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gatepass.cli.catalogue_file import read_file
from gatepass.cli.catalogue_update import updated
from gatepass.cli.output import AsJson, print_json
from gatepass.cli.tree import app
from gatepass.core.catalogue import CatalogueError, parse_catalogue
from gatepass.core.display_text import printable
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.core.openapi_import import MOST_BYTES, NotOpenAPI

#: Tokens named for each permission that is dropped.
_MOST_NAMED = 20

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="catalogue")


@group.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE")], json: AsJson = False) -> None:
    """Validate a catalogue file; list its errors by line."""
    text = read_file(file, "FILE")
    try:
        catalogue = parse_catalogue(text)
    except CatalogueError as error:
        if json:
            problems = [{"line": line, "message": message} for line, message in error.problems]
            print_json({"ok": False, "problems": problems})
        for line, message in error.problems:
            print(f"{file}:{line}: {message}", file=sys.stderr)
        raise typer.Exit(1) from None
    added = [found for found in catalogue.permissions if not found.built_in]
    routes = sum(len(found.routes) for found in added)
    if json:
        counts = {"permissions": len(added), "routes": routes, "presets": len(catalogue.presets)}
        print_json({"ok": True, **counts, "problems": []})
    else:
        counted = [_counted(len(added), "permission"), _counted(routes, "route")]
        if catalogue.presets:
            counted.append(_counted(len(catalogue.presets), "preset"))
        typer.echo(f"{file} is valid: {', '.join(counted)}.")


@group.command("import")
def import_(
    document: Annotated[
        Path, typer.Argument(metavar="OPENAPI", help="OpenAPI 3.0 or 3.1, YAML or JSON.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write the catalogue here; by default it is printed."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if FILE would change.")
    ] = False,
) -> None:
    """Make a catalogue from an OpenAPI document: a permission for each operation."""
    if check and out is None:
        raise typer.BadParameter("--check needs --out FILE")
    former = read_file(out, "--out") if out is not None and out.exists() else ""
    try:
        made = updated(read_file(document, "OPENAPI", MOST_BYTES), former)
    except NotOpenAPI as error:
        raise Misconfigured(f"{document}: {error.message}") from None
    except CatalogueError as error:
        raise Misconfigured(f"{out or document}: {error.message}") from None
    for operation, why in made.left_out:
        typer.echo(f"left out: {printable(operation)} ({printable(why)})", err=True)
    for line in made.differences:
        typer.echo(line, err=True)
    _name_holders(made.dropped)
    if out is None:
        typer.echo(made.text, nl=False)
    elif made.text == former:
        typer.echo(f"{out} is up to date.", err=True)
    elif check:
        raise typer.Exit(1)
    else:
        _replace(out, made.text)


def _name_holders(dropped: Sequence[str]) -> None:
    """Say which active tokens hold permissions that are dropped, if there is an installation."""
    if not dropped:
        return
    # Imported here: a check of a file needs no database.
    from gatepass.cli.installation import reading
    from gatepass.registry.actor import Actor
    from gatepass.registry.tokens.lists import search

    try:
        with reading() as transaction:
            for name in dropped:
                page = search.list_(
                    transaction,
                    Actor.command_line(),
                    permission=name,
                    status="active",
                    limit=_MOST_NAMED,
                )
                for token in page.items:
                    typer.echo(f"  {token.id} ({printable(token.label)}) holds {name}", err=True)
                if page.next is not None:
                    typer.echo(f"  … and more tokens hold {name}", err=True)
    except (Misconfigured, Unavailable):
        typer.echo("  (which tokens hold them isn't known: no installation here)", err=True)


def _replace(path: Path, text: str) -> None:
    """Write a file at once: a server that starts meanwhile reads the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
