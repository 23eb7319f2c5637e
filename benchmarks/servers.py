"""Servers under load: a Gatepass worker, nginx, and uvicorn."""

import http.client
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.population import Population
from benchmarks.sample_grants import CATALOGUE_TEXT
from gatepass.settings import Settings
from gatepass.web.server.supervisor import APPLICATION
from tests.support.processes.children import child_ids
from tests.support.processes.nginx import Nginx
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving
from tests.support.processes.workers import Worker
from tests.support.waiting import until

_ROOT = Path(__file__).parent.parent
_NGINX_204 = """\
keepalive_requests 1000000000;
server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ return 204; }}
}}
"""


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        port: on loopback.
        process: id of the process that does the work.
        seconds_to_ready: from starting a Gatepass worker until it reports that it is ready.
    """

    port: int
    process: int
    seconds_to_ready: float = 0.0


@contextmanager
def gatepass_worker(
    population: Population, role: str = "verify", port: int | None = None
) -> Iterator[Server]:
    """One worker process, started as the supervisor starts it.

    Args:
        population: its database.
        role: ``verify`` or ``main``.
        port: one that other workers may share; by default a free one.
    """
    settings = Settings.read(
        {
            "GATEPASS_DATABASE_URL": f"sqlite:///{population.path}",
            "GATEPASS_DATA_DIR": str(population.path.parent),
        }
    )
    with Worker(
        role, settings, catalogue=CATALOGUE_TEXT, application=APPLICATION, port=port
    ) as worker:
        yield Server(worker.port, worker.process.pid, worker.seconds_to_ready)


@contextmanager
def nginx_204(directory: Path) -> Iterator[Server]:
    """nginx with one worker that answers every request with 204: the baseline."""
    directory.mkdir()
    port = free_port()
    with Nginx(directory, _NGINX_204.format(port=port), f"127.0.0.1:{port}") as nginx:
        (worker,) = until(lambda: child_ids(nginx.process.pid))
        yield Server(port, worker)


@contextmanager
def uvicorn(directory: Path, *arguments: str, **environ: str) -> Iterator[Server]:
    """One uvicorn worker: ``benchmarks.by_hand_apps`` with *arguments* and a free port."""
    directory.mkdir()
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.by_hand_apps", *arguments, str(port)]
    with serving(
        command, lambda: httpx.get(f"http://127.0.0.1:{port}/"), directory, cwd=_ROOT, **environ
    ) as process:
        yield Server(port, process.pid)


def status(port: int, request: bytes) -> int:
    """Send a raw *request*; the status of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status
