"""Worker processes, started as the supervisor starts them, and requests to them."""

import contextlib
import http.client
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.web.server.worker import StartOrder
from tests.support.apps.answer import Answer
from tests.support.grants.grant_fixtures import CATALOGUE
from tests.support.needs import require
from tests.support.processes.ports import free_port, wait_for_port
from tests.support.waiting import LIMIT_S

_ROOT = Path(__file__).parents[3]

Headers = Sequence[tuple[str, str | bytes]]


class Worker:
    """One worker process; a context manager that stops it.

    Args:
        role: ``main`` or ``verify``.
        settings: its settings.
        clock: by default the machine's.
        catalogue: the text of the catalogue.
        application: what a main worker serves, as ``module:function``.
        port: one that workers share; by default a free one.
        listening: a Unix socket that the worker serves too.

    Attributes:
        seconds_to_ready: from starting the process until it reports that it is ready.
    """

    def __init__(
        self,
        role: str,
        settings: Settings,
        clock: Clock | None = None,
        *,
        catalogue: str = CATALOGUE,
        application: str = "tests.support.apps.gateway_application:make",
        port: int | None = None,
        listening: socket.socket | None = None,
    ) -> None:
        require("processes")
        self.port = port or free_port()
        ready, say_ready = os.pipe()
        order = StartOrder(
            role=role,
            environ=settings.to_environ(),
            catalogue=catalogue,
            clock_offset_ns=(clock or Clock()).offset_ns,
            application=application,
            port=self.port,
            ready_descriptor=say_ready,
            listening_descriptor=None if listening is None else listening.fileno(),
        )
        started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gatepass.web.server.worker"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(say_ready, *(() if listening is None else (listening.fileno(),))),
            env=with_tests_on_the_path(),
        )
        os.close(say_ready)
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(order) + b"\n")
        self.process.stdin.flush()
        heard, _, _ = select.select([ready], [], [], LIMIT_S)
        said = os.read(ready, 1) if heard else b""
        os.close(ready)
        self.seconds_to_ready = time.monotonic() - started
        if said != b"r":
            raise AssertionError(f"no {role} worker: {self.stop()}")
        wait_for_port(self.port, settings.host)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> str:
        """Close its standard input, as the death of its supervisor does; what it logged."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        with self.process.stderr:
            return self.process.stderr.read().decode(errors="replace")


def with_tests_on_the_path() -> dict[str, str]:
    """This process's environment, with the tests importable."""
    path = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(reversed(path))}


def ask(
    port: int,
    method: str,
    path: str,
    headers: Headers = (),
    body: bytes = b"",
    host: str = "127.0.0.1",
    client: str = "",
) -> Answer:
    """Send one request on a new connection, from the address *client* if one is given."""
    source = (client, 0) if client else None
    connection = http.client.HTTPConnection(host, port, timeout=LIMIT_S, source_address=source)
    try:
        named = any(name.lower() == "host" for name, _ in headers)
        connection.putrequest(method, path, skip_host=named, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        # The server answers a body that is too large before it has read all of it.
        with contextlib.suppress(BrokenPipeError):
            connection.endheaders(body or None)
        response = connection.getresponse()
        found = [(name.lower(), value) for name, value in response.getheaders()]
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


def exchange(port: int, *parts: bytes, pause: float = 0.0, seconds: float = LIMIT_S) -> bytes:
    """Send raw bytes, and read until the server closes or is silent for *seconds*."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while chunk := connection.recv(65_536):
                received += chunk
        except OSError:
            pass
        return received
