"""``gatepass catalogue``: checks, makes and publishes catalogues, and shows those that were."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gatepass.cli.catalogue_file import read_file
from gatepass.cli.catalogue_update import lines, updated
from gatepass.cli.output import AsJson, as_sent, print_json, print_list, when
from gatepass.cli.tree import app
from gatepass.core.catalogue import CatalogueError, parse_catalogue
from gatepass.core.catalogue_differences import differences
from gatepass.core.display_text import printable
from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.core.openapi_import import MOST_BYTES, NotOpenAPI

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
    service: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Replace that service's permissions, and leave the others'."
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="What the service's routes begin with; by default as in FILE, else /NAME.",
        ),
    ] = None,
) -> None:
    """Make a catalogue from an OpenAPI document: a permission for each operation."""
    if check and out is None:
        raise typer.BadParameter("--check needs --out FILE")
    if prefix is not None and service is None:
        raise typer.BadParameter("--prefix needs --service NAME")
    former = read_file(out, "--out") if out is not None and out.exists() else ""
    try:
        made = updated(read_file(document, "OPENAPI", MOST_BYTES), former, service, prefix)
    except NotOpenAPI as error:
        raise Misconfigured(f"{document}: {error.message}") from None
    except CatalogueError as error:
        raise Misconfigured(f"{out or document}: {error.message}") from None
    for operation, why in made.left_out:
        typer.echo(f"left out: {printable(operation)} ({printable(why)})", err=True)
    for line in made.differences:
        typer.echo(line, err=True)
    _name_holders(made.lost)
    if out is None:
        typer.echo(made.text, nl=False)
    elif made.text == former:
        typer.echo(f"{out} is up to date.", err=True)
    elif check:
        raise typer.Exit(1)
    else:
        _replace(out, made.text)


@group.command()
def show(
    version: Annotated[
        int | None, typer.Option(metavar="N", help="An earlier version, by its number.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Print the installation's catalogue."""
    from gatepass.cli.installation import reading
    from gatepass.registry.actor import Actor
    from gatepass.registry.directory import catalogue_versions

    with reading() as transaction:
        actor = Actor.command_line()
        found = (
            catalogue_versions.current(transaction, actor)
            if version is None
            else catalogue_versions.get(transaction, actor, version)
        )
    if json:
        from gatepass.web.api.records.catalogue import CatalogueVersion

        print_json(as_sent(CatalogueVersion, found))
    else:
        typer.echo(found.text, nl=False)


@group.command()
def publish(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="By default that of GATEPASS_CATALOGUE, which then is published again by itself "
            "when it has changed.",
            show_default=False,
        ),
    ] = None,
    note: Annotated[str, typer.Option(help="What it is for, in a line.")] = "",
    json: AsJson = False,
) -> None:
    """Make a file the installation's catalogue, on all nodes at once."""
    from gatepass.cli.installation import changing, reading
    from gatepass.registry.actor import Actor
    from gatepass.registry.directory import catalogue_versions
    from gatepass.registry.grants.published_catalogue import current_catalogue
    from gatepass.settings import Settings

    configured = Settings.read().catalogue if file is None else None
    path = file or configured
    if path is None:
        raise typer.BadParameter("FILE is needed: GATEPASS_CATALOGUE isn't set")
    text = read_file(path, "FILE" if configured is None else "GATEPASS_CATALOGUE")
    try:
        after = parse_catalogue(text)
    except CatalogueError as error:
        raise Misconfigured(f"{path}: {error.message}") from None
    with reading() as transaction:
        former = catalogue_versions.current(transaction, Actor.command_line())
        # Its text may have names that this release has taken since.
        before = current_catalogue(transaction, parse_catalogue(None))
    found = differences(before, after)
    for line in lines(found):
        typer.echo(line, err=True)
    _name_holders(found.lost)
    with changing() as change:
        made = catalogue_versions.publish(
            change,
            Actor.command_line(),
            text=text,
            note=note,
            if_match=[catalogue_versions.etag(former)],
            from_file=configured is not None,
        )
    if json:
        from gatepass.web.api.records.catalogue import CatalogueVersion

        print_json(as_sent(CatalogueVersion, made))
    elif made.number == former.number:
        typer.echo(f"Version {made.number} has this text already.")
    else:
        typer.echo(f"Published as version {made.number}.")


@group.command()
def history(json: AsJson = False) -> None:
    """List the versions of the installation's catalogue, newest first."""
    from gatepass.cli.installation import every
    from gatepass.registry.directory import catalogue_versions
    from gatepass.web.api.records.catalogue import CatalogueSummary

    print_list(
        json,
        CatalogueSummary,
        every(catalogue_versions.list_),
        ("Version", "Permissions", "Routes", "Published", "By", "Note"),
        lambda each: (
            str(each.number),
            str(each.permissions),
            str(each.routes),
            when(each.created_at),
            each.created_by.name if each.created_by else "",
            each.note,
        ),
    )


def _name_holders(lost: Sequence[str]) -> None:
    """Say which active tokens hold what is lost, if there is an installation."""
    if not lost:
        return
    # Imported here: a check of a file needs no database.
    from gatepass.cli.installation import reading
    from gatepass.registry.tokens.catalogue_impact import holders

    try:
        with reading() as transaction:
            found = holders(transaction, lost)
    except (Misconfigured, Unavailable):
        typer.echo("  (which tokens hold them isn't known: no installation here)", err=True)
        return
    for each in found:
        for token in each.newest:
            typer.echo(f"  {token.id} ({printable(token.label)}) holds {each.permission}", err=True)
        if each.tokens > len(each.newest):
            more = _counted(each.tokens - len(each.newest), "more token")
            typer.echo(f"  and {more} with {each.permission}", err=True)
        if each.roles:
            typer.echo(f"  {_counted(each.roles, 'role')} with {each.permission}", err=True)


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
