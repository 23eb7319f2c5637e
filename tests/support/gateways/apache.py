"""Apache httpd, from the system."""

import os
from pathlib import Path

from tests.support.gateways.gateway import Gateway
from tests.support.gateways.programs import system_program

_MODULES = "mpm_event authz_core headers lua proxy proxy_http"
# httpd started by root must run its workers as another user.
_USER = "" if os.geteuid() else "User nobody\nGroup nogroup\n"


def _command(directory: Path) -> list[str]:
    loaded = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in _MODULES.split()
    )
    configuration = directory / "apache2.conf"
    configuration.write_text(
        f"ServerRoot {directory}\nServerName localhost\nPidFile {directory}/pid\n"
        f"DefaultRuntimeDir {directory}\nErrorLog {directory}/error.log\n{_USER}{loaded}"
        f"Include {directory}/gatepass.conf\n"
    )
    return [system_program("apache2"), "-X", "-f", str(configuration)]


APACHE = Gateway(
    "apache",
    {
        "127.0.0.1:8788": "127.0.0.1:{verify}",
        "127.0.0.1:9000": "127.0.0.1:{api}",
        "Listen 8080": "Listen 127.0.0.1:{front}",
        "*:8080": "127.0.0.1:{front}",
        "/etc/apache2/gatepass.lua": "{directory}/gatepass.lua",
    },
    _command,
)
