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
server {
    listen 127.0.0.1:PORT backlog=1024;
    location / { return 204; }
}
"""
# The parts of docs/how-to/gateways/nginx.md that cost something. A file's absence is answered with
# 204 in the last phase, since a plain "return" would come before auth_request.
_NGINX_ASKING = """\
keepalive_requests 1000000000;
upstream gatepass_verify {
    server GATEPASS;
    keepalive 64;
    keepalive_requests 1000000000;
}
server {
    listen 127.0.0.1:PORT backlog=1024;
    auth_request /_gatepass;
    location / {
        try_files /nothing @allowed;
    }
    location @allowed {
        auth_request off;
        return 204;
    }
    location = /_gatepass {
        internal;
        auth_request off;
        proxy_pass http://gatepass_verify/authz/nginx;
        proxy_http_version 1.1;
        proxy_pass_request_body off;
        proxy_pass_request_headers off;
        proxy_set_header Connection "";
        proxy_set_header Content-Length "";
        proxy_set_header X-Original-URI $request_uri;
        proxy_set_header X-Original-Method $request_method;
        proxy_set_header X-Forwarded-For $http_x_forwarded_for;
        proxy_set_header Authorization $http_authorization;
    }
}
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
    population: Population,
    role: str = "verify",
    port: int | None = None,
    listening: socket.socket | None = None,
    grpc_port: int | None = None,
) -> Iterator[Server]:
    """One worker process, started as the supervisor starts it.

    Args:
        population: its database.
        role: ``verify`` or ``main``.
        port: one that other workers may share; by default a free one.
        listening: a Unix socket to serve too.
        grpc_port: for Envoy's questions over gRPC.
    """
    settings = Settings.read(
        {
            "GATEPASS_DATABASE_URL": f"sqlite:///{population.path}",
            "GATEPASS_DATA_DIR": str(population.path.parent),
        }
    )
    with Worker(
        role,
        settings.with_(grpc_port=grpc_port),
        catalogue=CATALOGUE_TEXT,
        application=APPLICATION,
        port=port,
        listening=listening,
    ) as worker:
        yield Server(worker.port, worker.process.pid, worker.seconds_to_ready)


@contextmanager
def nginx_204(directory: Path) -> Iterator[Server]:
    """nginx with one worker that answers every request with 204: the baseline."""
    with _nginx(directory, _NGINX_204) as server:
        yield server


@contextmanager
def nginx_asking(directory: Path, gatepass: str) -> Iterator[Server]:
    """nginx with one worker that answers 204 to every request that Gatepass allows.

    Args:
        gatepass: the verify port as an address of nginx's: ``127.0.0.1:8788`` or ``unix:/path``.
    """
    with _nginx(directory, _NGINX_ASKING.replace("GATEPASS", gatepass)) as server:
        yield server


@contextmanager
def _nginx(directory: Path, http: str) -> Iterator[Server]:
    directory.mkdir()
    port = free_port()
    with Nginx(directory, http.replace("PORT", str(port)), f"127.0.0.1:{port}") as nginx:
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
