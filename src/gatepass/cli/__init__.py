"""The command line: ``gatepass …``."""

import os
import sys
from io import TextIOWrapper


def main() -> int:
    """Run the command in ``sys.argv``; returns the exit code."""
    _open_standard_streams()
    try:
        from gatepass.cli.tree import run
    except ModuleNotFoundError as error:
        # Applications that embed Gatepass install it without the server's dependencies.
        print(
            f"gatepass: {error.name} isn't installed: the command line needs 'gatepass[server]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("gatepass: stopped", file=sys.stderr)
        return 1
    return run()


def _open_standard_streams() -> None:
    # If the caller closed one, the next file to be opened, such as the database, would get its
    # number, and output could be written into that file.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for the process's life
    # A terminal with an older encoding, or cron, can't show every name: escape characters rather
    # than fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
