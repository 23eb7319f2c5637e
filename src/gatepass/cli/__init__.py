"""The command line: ``gatepass …``."""

import os
import sys
from io import TextIOWrapper

_HELP = """\
Gatepass, a self-hosted access-token authority.

This installation is for applications that embed it, and has no command. The commands that create
and run a server, and gatepass scan, come with 'gatepass[server]': in a checkout of Gatepass,
pip install '.[server]'.

  --version  Show the version and exit.
  --help     Show this message and exit."""


def main() -> int:
    """Run the command in ``sys.argv``; returns the exit code."""
    _open_standard_streams()
    try:
        from gatepass.cli.tree import run
    except ModuleNotFoundError as error:
        return _without_server(sys.argv[1:], error.name)
    except KeyboardInterrupt:
        print("gatepass: stopped", file=sys.stderr)
        return 1
    return run()


def _without_server(arguments: list[str], missing: str | None) -> int:
    """The command where an application embeds Gatepass, without the server's dependencies.

    What every command answers works: its version, and its help, which names what to install.
    """
    if arguments == ["--version"]:
        from importlib.metadata import version

        print(f"gatepass {version('gatepass')}")
        return 0
    if arguments in ([], ["--help"]):
        print(_HELP)
        return 0
    print(
        f"gatepass: {missing} isn't installed: this command needs 'gatepass[server]' (in a "
        "checkout of Gatepass: pip install '.[server]')",
        file=sys.stderr,
    )
    return 1


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
