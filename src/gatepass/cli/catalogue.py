"""``gatepass catalogue check``: validates a catalogue file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gatepass.cli.catalogue_file import read_file
from gatepass.cli.output import AsJson, print_json
from gatepass.cli.tree import app
from gatepass.core.catalogue import CatalogueError, parse_catalogue

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


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
