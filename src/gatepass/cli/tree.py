"""The ``gatepass`` command line: subcommands, exit codes and errors.

Exit codes: 0 done, 1 refused or failed with one clear line on stderr, 2 wrong usage.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from gatepass import environment
from gatepass.core.display_text import END_ISOLATE, ISOLATE
from gatepass.core.errors import GatepassError, InvalidInput, Unavailable
from gatepass.settings import Settings

app = typer.Typer(
    name="gatepass",
    help="A self-hosted access-token authority.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# Typer's exit code after Ctrl-C.
_INTERRUPTED = 130
# The module of each command or group; importing it adds the command to `app`.
_COMMANDS = {
    **{name: name for name in ("demo", "init", "serve", "migrate")},
    "export": "backup",
    "import": "backup",
    "restore": "restore",
    "admin-key": "admin_key",
    **{name: name for name in ("verifier", "token", "user", "allowlist", "catalogue", "node")},
    "scan": "scan",
}


def run() -> int:
    """Run the command in ``sys.argv``; returns the exit code."""
    try:
        _load(sys.argv[1:2])
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
        typer.echo(f"gatepass {version('gatepass')}")
        raise typer.Exit
    for line in environment.warnings(os.environ, Settings.names()):
        print(f"gatepass: warning: {line}", file=sys.stderr)


def _load(first: Sequence[str]) -> None:
    """Import only the command's module: checking a catalogue needs no web framework."""
    if first == ["--version"]:
        return
    for name in [name for name in first if name in _COMMANDS] or _COMMANDS:
        importlib.import_module(f"gatepass.cli.{_COMMANDS[name]}")


def _failed(line: str) -> int:
    print(f"gatepass: {line}", file=sys.stderr)
    return 1


def _one_line(error: GatepassError) -> str:
    text = error.message
    if isinstance(error, InvalidInput):
        text = "; ".join(f"{field}: {message}" for field, message in error.errors)
    elif isinstance(error, Unavailable):
        # The driver's message helps the operator.
        cause = getattr(error.__cause__, "orig", None)
        # Without the SQL statement, which the driver appends to the server's message.
        cause = getattr(getattr(cause, "diag", None), "message_primary", None) or cause
        text += f" ({cause})" if cause else ""
    # Isolates around other people's names are for pages: a terminal may show them.
    return " ".join(text.replace(ISOLATE, "").replace(END_ISOLATE, "").split())
