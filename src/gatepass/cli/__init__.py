"""The command line: ``gatepass …``."""

import os
import sys
from io import TextIOWrapper


def main() -> int:
    """Run the command that the arguments name; the exit code."""
    _open_standard_streams()
    try:
        from gatepass.cli.tree import run
    except ModuleNotFoundError as error:
        # Embedding applications install Gatepass without what its server needs.
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
    # Where the caller closed one, the next file that is opened, say the database, would get its
    # number, and what is meant to be printed could end up in there.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for the process's life
    # A terminal of an older encoding, or cron's, can't show every name: better spelt out than the
    # command broken off.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
