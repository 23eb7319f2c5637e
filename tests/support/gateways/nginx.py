"""nginx, from the system."""

from pathlib import Path

from tests.support.gateways.gateway import Gateway
from tests.support.needs import require
from tests.support.processes.nginx import PROGRAM, main_configuration


def _command(directory: Path) -> list[str]:
    require("nginx")
    http = (directory / "gatepass.conf").read_text()
    configuration = directory / "nginx.conf"
    configuration.write_text(main_configuration(directory, http))
    return [PROGRAM, "-c", str(configuration), "-p", str(directory)]


NGINX = Gateway(
    "nginx",
    {
        "127.0.0.1:8788": "127.0.0.1:{verify}",
        "127.0.0.1:8787": "127.0.0.1:{main}",
        "127.0.0.1:9000": "127.0.0.1:{api}",
        "127.0.0.1:8080": "127.0.0.1:{front}",
        "127.0.0.1:8081": "127.0.0.1:{dashboard}",
    },
    _command,
)
