"""Where the gateways' programs are."""

import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """One that tests/tools/install.py installs into the virtual environment."""
    return str(Path(sys.prefix) / "bin" / name)


def system_program(name: str) -> str:
    """One that tests/system-tools.sh installs; Debian has it where only root looks."""
    return shutil.which(name) or f"/usr/sbin/{name}"
