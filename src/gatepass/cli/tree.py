"""The ``gatepass`` command line: subcommands, exit codes and errors.

Most of a command's time is spent on imports. So a command's module is imported when the command is
called: it can import what it needs at its top, and no other command waits for that.

Exit codes: 0 done, 1 refused or failed with one clear line on stderr, 2 wrong usage.
"""

import importlib
import os
import sys
from contextlib import suppress
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from gatepass import environment
from gatepass.core.display_text import END_ISOLATE, ISOLATE
from gatepass.core.errors import GatepassError, InvalidInput, Misconfigured, Unavailable
from gatepass.settings import Settings

# Typer's exit code after Ctrl-C.
_INTERRUPTED = 130


class _Command(NamedTuple):
    """A command or group, before its module is imported."""

    module: str
    summary: str


#: In the order of ``gatepass --help``. Importing its module adds the command to `app`.
COMMANDS = {
    "demo": _Command("demo", "Try Gatepass on this machine, with example data."),
    "init": _Command("init", "Create a company and its administrator."),
    "serve": _Command("serve", "Run the server."),
    "config": _Command("config", "The settings, and where each comes from."),
    "migrate": _Command("migrate", "Update the database's schema."),
    "export": _Command("backup", "Export the whole installation to a file."),
    "import": _Command("backup", "Import an export into an empty database."),
    "restore": _Command("restore", "Replace the database by a backup."),
    "admin-key": _Command("admin_key", "Keys with which a platform's backend manages companies."),
    "verifier": _Command("verifier", "Keys for services and embedded verifiers."),
    "token": _Command("token", "Access tokens of all companies."),
    "user": _Command("user", "Users of all companies."),
    "allowlist": _Command("allowlist", "A company's allowlist."),
    "catalogue": _Command("catalogue", "The catalogue of permissions and routes."),
    "node": _Command("node", "Nodes and embedded verifiers."),
    "doctor": _Command("doctor", "Check a gateway by sending calls through it."),
    "scan": _Command("scan", "Find leaked credentials in files and Git repositories."),
}


class _Commands(TyperGroup):
    """Lists the commands by their summaries, and imports the one that is called."""

    def __init__(self, *, commands: dict[str, Any], **attributes: Any) -> None:
        summaries = {name: TyperCommand(name, help=one.summary) for name, one in COMMANDS.items()}
        super().__init__(commands=summaries | commands, **attributes)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load(name), rest


app = typer.Typer(
    cls=_Commands,
    name="gatepass",
    help="A self-hosted access-token authority.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def run() -> int:
    """Run the command in ``sys.argv``; returns the exit code."""
    try:
        code = app(prog_name="gatepass", standalone_mode=False)
    except GatepassError as error:
        return _failed(_one_line(error))
    except typer.Exit as left:
        return left.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _failed("stopped")
    except OSError as error:
        return _failed(f"{error.filename or 'output'}: {error.strerror or error}")
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            # No traceback: it could quote a password from the input.
            return _failed(f"unexpected error: {type(error).__name__}")
        show()  # wrong usage: the argument parser's message
        return int(getattr(error, "exit_code", 2))
    if code == _INTERRUPTED:
        return _failed("stopped")
    return code if isinstance(code, int) else 0


@app.callback(invoke_without_command=True)
def _gatepass(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if show_version:
        # Imported here: a tenth of the time of ``gatepass --help``.
        from importlib.metadata import version

        typer.echo(f"gatepass {version('gatepass')}")
        raise typer.Exit
    for line in environment.warnings(os.environ, Settings.names()):
        print(f"gatepass: warning: {line}", file=sys.stderr)


def load(name: str) -> Any:
    """Import the module of the command or group *name*; returns Typer's object for it."""
    importlib.import_module(f"gatepass.cli.{COMMANDS[name].module}")
    command = typer.main.get_group(app).commands[name]
    # A group has no docstring: its help is its summary.
    command.help = command.help or COMMANDS[name].summary
    return command


def _failed(line: str) -> int:
    print(f"gatepass: {line}", file=sys.stderr)
    return 1


def _one_line(error: GatepassError) -> str:
    text = error.message
    if isinstance(error, InvalidInput):
        text = "; ".join(f"{field}: {message}" for field, message in error.errors)
    elif isinstance(error, Misconfigured):
        # The error may be that the file can't be read.
        with suppress(Misconfigured):
            text = Settings.configured().located(text)
    elif isinstance(error, Unavailable):
        # The driver's message helps the operator.
        cause = getattr(error.__cause__, "orig", None)
        # Without the SQL statement, which the driver appends to the server's message.
        cause = getattr(getattr(cause, "diag", None), "message_primary", None) or cause
        text += f" ({cause})" if cause else ""
    # Isolates around other people's names are for pages: a terminal may show them.
    return " ".join(text.replace(ISOLATE, "").replace(END_ISOLATE, "").split())
