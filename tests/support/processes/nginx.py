"""A real nginx, with configuration of a test's own or from the docs."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.needs import require
from tests.support.processes.ports import wait_for_port
from tests.support.waiting import LIMIT_S

_DOCS = Path(__file__).parents[3] / "docs"
PROGRAM = shutil.which("nginx") or "/usr/sbin/nginx"
# Otherwise its workers run as nobody, who can't write to a test's directory.
_AS_ROOT = "user root;\n" if os.geteuid() == 0 else ""


def installed() -> bool:
    """Whether nginx is installed."""
    return shutil.which(PROGRAM) is not None


def documented(page: str, addresses: Mapping[str, str]) -> str:
    """The one nginx block of a page in ``docs``, with each documented address replaced."""
    (block,) = re.findall(r"```nginx\n(.*?)```", (_DOCS / page).read_text(), re.S)
    for address, real in addresses.items():
        assert address in block
        block = block.replace(address, real)
    return str(block)


def main_configuration(directory: Path, http: str) -> str:
    """A whole configuration that keeps its own files in *directory*, around an ``http`` block."""
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{_AS_ROOT}daemon off; pid {directory}/pid; error_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{http}}}\n"
    )


class Nginx:
    """A running nginx; a context manager that stops it.

    Args:
        directory: for its own files.
        http: the directives of its ``http`` block.
        answering: an address that it listens on.

    Attributes:
        process: the master process; the worker is its child.
    """

    def __init__(self, directory: Path, http: str, answering: str) -> None:
        require("nginx")
        self.error_log = directory / "error.log"
        configuration = directory / "nginx.conf"
        configuration.write_text(main_configuration(directory, http))
        self.process = subprocess.Popen([PROGRAM, "-c", str(configuration), "-p", str(directory)])
        host, _, port = answering.partition(":")
        wait_for_port(int(port), host)

    def __enter__(self) -> "Nginx":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(LIMIT_S)
