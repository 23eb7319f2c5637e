"""HAProxy, from the system."""

from pathlib import Path

from tests.support.gateways.gateway import Gateway
from tests.support.gateways.programs import system_program


def _command(directory: Path) -> list[str]:
    return [system_program("haproxy"), "-db", "-f", str(directory / "haproxy.cfg")]


HAPROXY = Gateway(
    "haproxy",
    {
        "127.0.0.1:8788": "127.0.0.1:{verify}",
        "127.0.0.1:9000": "127.0.0.1:{api}",
        "bind :8080": "bind 127.0.0.1:{front}",
        "/etc/haproxy/gatepass.lua": "{directory}/gatepass.lua",
    },
    _command,
)
