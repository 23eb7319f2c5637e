"""Traefik, from PyPI."""

from pathlib import Path

from tests.support.gateways.gateway import Gateway
from tests.support.gateways.programs import program


def _command(directory: Path) -> list[str]:
    return [program("traefik"), f"--configFile={directory / 'traefik.yml'}"]


TRAEFIK = Gateway(
    "traefik",
    {
        "127.0.0.1:8788": "127.0.0.1:{verify}",
        "127.0.0.1:9000": "127.0.0.1:{api}",
        '":8080"': '"127.0.0.1:{front}"',
        "filename: /etc/traefik/": "filename: {directory}/",
    },
    _command,
)
