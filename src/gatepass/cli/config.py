"""``gatepass config``: which settings count, and whether they can be used."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from urllib.parse import unquote

import typer

from gatepass import environment
from gatepass.cli.catalogue_file import read_catalogue, read_file
from gatepass.cli.output import AsJson, print_json, print_table
from gatepass.cli.tree import app
from gatepass.environment import PREFIX
from gatepass.settings import Settings

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="config")

_MASK = "***"
#: Of these only a part is secret.
_URLS = ("DATABASE_URL", "SMTP_URL")
# Greedy: a password may have an @ where it must not.
_password_in_url = re.compile(r"(?<=://)([^:/?#]*):.*@")
_parameter = re.compile(r"([?&])([^=&]*)=([^&]*)")
#: Parts of the names of libpq's secret parameters.
_SECRET = ("pass", "secret", "scram")


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
    # Imported here: the other command doesn't need a web server.
    from gatepass.web.server.supervisor import require_startable

    # The names that are no settings have been warned of.
    wrong = any(environment.warnings(os.environ, Settings.names()))
    configured = Settings.configured()
    settings = Settings.read(configured.environ)
    read_catalogue(settings)
    if settings.secret_scanning_keys is not None:
        read_file(settings.secret_scanning_keys, PREFIX + "SECRET_SCANNING_KEYS")
    require_startable(settings)
    for variable, missing in Settings.without_effect(configured.environ):
        line = configured.located(f"{variable} has no effect without {missing}")
        print(f"gatepass: {line}", file=sys.stderr)
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
            value = masked(value) if name in _URLS else _MASK
        variable, text = environment.find(configured.environ, name)
        if text is None:
            source = "default"
        elif variable in configured.from_file:
            source = str(configured.path)
        else:
            source = variable
        yield name, value, source


def masked(url: str) -> str:
    """A URL without its passwords."""
    return _parameter.sub(_masked_parameter, _password_in_url.sub(rf"\1:{_MASK}@", url))


def _masked_parameter(found: re.Match[str]) -> str:
    name = unquote(found[2]).lower()
    value = _MASK if any(part in name for part in _SECRET) else found[3]
    return f"{found[1]}{found[2]}={value}"
