"""The ``gatepass`` command: its tree, and what an error looks like.

Exit codes: 0 done, 1 refused or failed with one clear line on stderr, 2 wrong usage.
"""

import importlib
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from gatepass.core.errors import GatepassError, InvalidInput

app = typer.Typer(
    name="gatepass",
    help="A self-hosted access-token authority.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# One module a command or a group of them; each adds itself to `app`.
_COMMANDS = ("demo", "init", "serve", "migrate", "verifier", "token", "allowlist", "catalogue")


def main() -> int:
    """Run the command that the arguments name; the exit code."""
    # Only what is asked for: a catalogue is checked without loading a web framework.
    asked = [name for name in sys.argv[1:2] if name in _COMMANDS]
    for name in asked or _COMMANDS:
        importlib.import_module(f"gatepass.cli.{name}")
    try:
        code = app(standalone_mode=False)
    except GatepassError as error:
        return _failed(_one_line(error))
    except typer.Exit as left:
        return left.exit_code
    except typer.Abort:
        return _failed("stopped")
    except KeyboardInterrupt:
        return _failed("stopped")
    except BrokenPipeError:
        # Whoever read our output has seen enough. Nothing may be flushed into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed(f"{error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            # Not a traceback: it could quote what was typed in.
            return _failed(f"this should not have happened: {type(error).__name__}")
        show()  # wrong usage, in the words of the argument parser
        return int(getattr(error, "exit_code", 2))
    return code if isinstance(code, int) else 0


@app.callback(invoke_without_command=True)
def _gatepass(
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", is_eager=True)
    ] = False,
) -> None:
    if show_version:
        typer.echo(f"gatepass {version('gatepass')}")
        raise typer.Exit


def _failed(line: str) -> int:
    print(f"gatepass: {line}", file=sys.stderr)
    return 1


def _one_line(error: GatepassError) -> str:
    if isinstance(error, InvalidInput):
        text = "; ".join(f"{field}: {message}" for field, message in error.errors)
    else:
        text = error.message
    return " ".join(text.split())
