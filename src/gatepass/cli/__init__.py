"""The command line: ``gatepass …``."""

import sys


def main() -> int:
    """Run the command that the arguments name; the exit code."""
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
