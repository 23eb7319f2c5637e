"""A real nginx with a configuration from the docs, only addresses replaced."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.support.needs import require

_DOCS = Path(__file__).parents[3] / "docs"
_PROGRAM = shutil.which("nginx") or "/usr/sbin/nginx"
# Its workers would else be nobody, who may not write into a test's directory.
_AS_ROOT = "user root;\n" if os.geteuid() == 0 else ""


class Nginx:
    """The one nginx block of a page, at work; a context manager that stops it.

    Args:
        directory: for its own files.
        page: the file in ``docs``.
        addresses: what stands in its place, by the address that is documented.
        answering: an address of *addresses*' values that it listens on.
        more: directives before the block, where a site's own settings stand.
    """

    def __init__(
        self,
        directory: Path,
        page: str,
        addresses: Mapping[str, str],
        answering: str,
        more: str = "",
    ) -> None:
        require("nginx")
        (block,) = re.findall(r"```nginx\n(.*?)```", (_DOCS / page).read_text(), re.S)
        for documented, real in addresses.items():
            assert documented in block
            block = block.replace(documented, real)
        temporary = "".join(
            f"{kind}_temp_path {directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.error_log = directory / "error.log"
        configuration = directory / "nginx.conf"
        configuration.write_text(
            f"{_AS_ROOT}daemon off; pid {directory}/pid; error_log {self.error_log};\n"
            f"events {{}}\nhttp {{ access_log off;\n{temporary}{more}\n{block}}}\n"
        )
        self._process = subprocess.Popen([_PROGRAM, "-c", str(configuration), "-p", str(directory)])
        for _ in range(100):
            try:
                httpx.get(f"http://{answering}/")
                return
            except httpx.TransportError:
                time.sleep(0.05)

    def __enter__(self) -> "Nginx":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
