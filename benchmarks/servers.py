"""Servers under load: a Gatepass worker, nginx, and anything else that is a process with a port."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.population import Population
from benchmarks.sample_grants import CATALOGUE_TEXT
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.web.server.supervisor import APPLICATION
from gatepass.web.server.worker import StartOrder
from tests.support.processes.ports import free_port

START_SECONDS = 60.0

_NGINX_CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/temp;
    proxy_temp_path {directory}/temp;
    fastcgi_temp_path {directory}/temp;
    uwsgi_temp_path {directory}/temp;
    scgi_temp_path {directory}/temp;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ return 204; }}
    }}
}}
"""


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        port: on loopback.
        process: the process that does the work.
        seconds_to_ready: from starting it to its saying so.
    """

    port: int
    process: int
    seconds_to_ready: float


@contextmanager
def gatepass_worker(
    population: Population, role: str = "verify", port: int | None = None
) -> Iterator[Server]:
    """One worker process, started as the supervisor starts it.

    Args:
        population: its database.
        role: ``verify`` or ``main``.
        port: one that others may listen on too; by default one of its own.
    """
    port = port or free_port()
    settings = Settings.read(
        {
            "GATEPASS_DATABASE_URL": f"sqlite:///{population.path}",
            "GATEPASS_DATA_DIR": str(population.path.parent),
        }
    )
    ready, told = os.pipe()
    order = StartOrder(
        role=role,
        environ=settings.to_environ(),
        catalogue=CATALOGUE_TEXT,
        clock_offset_ns=Clock().offset_ns,
        application=APPLICATION,
        port=port,
        ready_descriptor=told,
    )
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "gatepass.web.server.worker"], stdin=subprocess.PIPE, pass_fds=[told]
    )
    try:
        os.close(told)
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.flush()
        with os.fdopen(ready, "rb") as descriptor:
            if descriptor.read(1) != b"r":
                raise RuntimeError(f"the {role} worker did not start")
        yield Server(port, process.pid, time.monotonic() - started)
    finally:
        _stop(process)


def find_nginx() -> str | None:
    """Where nginx is, if it is installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def nginx_204(directory: Path) -> Iterator[Server]:
    """nginx with one worker that answers 204 to everything: the yardstick."""
    program = find_nginx()
    assert program is not None
    directory.mkdir()
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX_CONFIGURATION.format(directory=directory, port=port))
    with plain_server(
        [program, "-c", str(configuration), "-e", str(directory / "error.log")], port
    ) as server:
        (worker,) = _children(server.process)
        yield Server(port, worker, server.seconds_to_ready)


@contextmanager
def plain_server(command: list[str], port: int, **environ: str) -> Iterator[Server]:
    """A process that is ready once *port* takes connections.

    Raises:
        RuntimeError: it ended or took too long.
    """
    started = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | environ)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > started + START_SECONDS:
                    raise RuntimeError(f"{command[0]} did not start") from None
                time.sleep(0.02)
        yield Server(port, process.pid, time.monotonic() - started)
    finally:
        _stop(process)


def status(port: int, request: bytes) -> int:
    """The status that a server answers to raw *request* with."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]
