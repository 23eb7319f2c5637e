"""A real Apache httpd, with a configuration from the docs."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.needs import require
from tests.support.processes.ports import free_port, wait_for_port
from tests.support.waiting import LIMIT_S
from tests.support.webhooks.certificates import make_certificates

_PROGRAM = shutil.which("apache2") or "/usr/sbin/apache2"
_MODULES = Path("/usr/lib/apache2/modules")
_LOADED = (
    "mpm_event",
    "authn_core",
    "authz_core",
    "socache_shmcb",
    "ssl",
    "proxy",
    "proxy_http",
    "auth_openidc",
)


class Apache:
    """A running Apache with mod_auth_openidc; a context manager that stops it.

    Args:
        directory: for its own files; ``htdocs`` in it is served.
        configuration: more directives.
        environ: variables that they name.
        secure: a port; it is served by TLS in front of *behind*, because mod_auth_openidc asks no
            server without.
    """

    def __init__(
        self,
        directory: Path,
        configuration: str,
        environ: Mapping[str, str],
        secure: int,
        behind: str,
    ) -> None:
        require("apache")
        self.port = free_port()
        certificates = make_certificates(directory)
        self.url = f"http://127.0.0.1:{self.port}"
        self.error_log = directory / "error.log"
        modules = "".join(
            f"LoadModule {name}_module {_MODULES}/mod_{name}.so\n" for name in _LOADED
        )
        # Apache refuses to run as root.
        user = "User nobody\nGroup nogroup\n" if os.geteuid() == 0 else ""
        file = directory / "httpd.conf"
        file.write_text(
            f"{modules}{user}ServerName 127.0.0.1\nListen 127.0.0.1:{self.port}\n"
            f"PidFile {directory}/pid\nErrorLog {self.error_log}\n"
            f"DefaultRuntimeDir {directory}\nMutex file:{directory}\n"
            f"DocumentRoot {directory}/htdocs\nOIDCCABundlePath {certificates.authority}\n"
            f"Listen 127.0.0.1:{secure} https\n<VirtualHost 127.0.0.1:{secure}>\n"
            f"SSLEngine on\nSSLCertificateFile {certificates.server}\n"
            f"ProxyPass / {behind}/\n</VirtualHost>\n{configuration}"
        )
        self._process = subprocess.Popen(
            [_PROGRAM, "-f", str(file), "-D", "FOREGROUND"], env={**os.environ, **environ}
        )
        wait_for_port(self.port)

    def __enter__(self) -> "Apache":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(LIMIT_S)


def documented(page: Path, addresses: Mapping[str, str]) -> str:
    """The one block for Apache of a page, with each documented address replaced."""
    (block,) = re.findall(r"^```apache\n(.*?)^```", page.read_text(), re.S | re.M)
    for address, real in addresses.items():
        assert address in block
        block = block.replace(address, real)
    return str(block)
