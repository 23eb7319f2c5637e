"""The command line: ``gatepass …``."""

from gatepass.cli.main import main

__all__ = ["main"]
