"""Caddy, from PyPI."""

from pathlib import Path

from tests.support.gateways.gateway import Gateway
from tests.support.gateways.programs import program


def _command(directory: Path) -> list[str]:
    caddyfile = directory / "Caddyfile"
    # Its administration would listen on a port of its own.
    caddyfile.write_text("{\n\tadmin off\n\tpersist_config off\n}\n" + caddyfile.read_text())
    return [program("caddy"), "run", "--config", str(caddyfile)]


CADDY = Gateway(
    "caddy",
    {
        "127.0.0.1:8788": "127.0.0.1:{verify}",
        "127.0.0.1:9000": "127.0.0.1:{api}",
        "api.example.com {": "http://:{front} {{",
    },
    _command,
)
