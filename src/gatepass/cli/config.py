"""``gatepass config``: which settings count, and whether they can be used."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields

import typer

from gatepass import environment
from gatepass.cli.catalogue_file import read_catalogue
from gatepass.cli.output import AsJson, print_json, print_table
from gatepass.cli.tree import app
from gatepass.environment import PREFIX
from gatepass.settings import Settings

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="config")

_MASK = "***"
# Greedy: a password may have an @ where it must not.
_password_in_url = re.compile(r"(?<=://)([^:/?#]*):.*@")
_secret_in_query = re.compile(r"((?:^|[?&])[a-z]*password=)[^&]*", re.IGNORECASE)


@group.command()
def show(json: AsJson = False) -> None:
    """Print each setting's value, passwords masked, and where it comes from."""
    settings = list(_settings())
    if json:
        known = ("name", "value", "source")
        print_json({"settings": [dict(zip(known, each, strict=True)) for each in settings]})
    else:
        rows = [(PREFIX + name, value or "–", source) for name, value, source in settings]
        print_table(("Setting", "Value", "From"), rows)


@group.command()
def check() -> None:
    """Check the settings and the catalogue; exit code 1 if anything is wrong, or set in vain."""
    # The names that are no settings have been warned of.
    wrong = any(environment.warnings(os.environ, Settings.names()))
    configured = Settings.configured()
    read_catalogue(Settings.read(configured.environ))
    for variable, missing in Settings.without_effect(configured.environ):
        print(f"gatepass: {variable} has no effect without {missing}", file=sys.stderr)
        wrong = True
    if wrong:
        raise typer.Exit(1)
    typer.echo("The settings can be used.")


def _settings() -> Iterator[tuple[str, str | None, str]]:
    """Names without the prefix, values, and sources."""
    configured = Settings.configured()
    settings = Settings.read(configured.environ)
    texts = settings.to_environ()
    secret = {one.name for one in fields(settings) if not one.repr}
    for name in Settings.names():
        value = texts.get(PREFIX + name)
        if value is not None and name.lower() in secret:
            value = masked(value)
        variable, text = environment.find(configured.environ, name)
        if text is None:
            source = "default"
        elif variable in configured.from_file:
            source = str(configured.path)
        else:
            source = variable
        yield name, value, source


def masked(value: str) -> str:
    """A secret without what is secret of it: of a URL the password, of other texts everything."""
    if "://" not in value:
        return _MASK
    return _secret_in_query.sub(rf"\1{_MASK}", _password_in_url.sub(rf"\1:{_MASK}@", value))
