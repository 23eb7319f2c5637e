"""Programs of docs pages, run with what ``make tools-env`` installs."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON_TOOLS = Path(sys.prefix) / "openapi-python-client/bin"
NODE_TOOLS = Path(sys.prefix) / "tools/bin"
NODE_MODULES = Path(sys.prefix) / "tools/node_modules"
LONGEST_S = 120


def blocks(page: Path, language: str) -> list[str]:
    """A page's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def run(command: str, directory: Path, environ: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env={
            **os.environ,
            "PATH": f"{PYTHON_TOOLS}:{NODE_TOOLS}:{os.environ['PATH']}",
            "REDOCLY_TELEMETRY": "off",
            "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
            **environ,
        },
        text=True,
        capture_output=True,
        timeout=LONGEST_S,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
