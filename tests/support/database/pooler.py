"""A real pgbouncer in transaction mode, in front of a cluster."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.support.database.postgresql import Cluster, end_with_parent
from tests.support.needs import require
from tests.support.processes.ports import free_port
from tests.support.waiting import LIMIT_S, until


class Pooler:
    """A connection pool in transaction mode: a client's transactions may use different connections.

    A context manager that stops it.

    Args:
        cluster: the server.
        connections: the pool size of each database.
    """

    def __init__(self, cluster: Cluster, connections: int = 3) -> None:
        require("postgresql")
        self._root = Path(tempfile.mkdtemp(prefix="gatepass-pooler-"))
        self.port = free_port()
        settings = self._root / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={cluster.port} user=postgres\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\n"
            f"default_pool_size = {connections}\nmax_client_conn = 200\n"
            f"logfile = {self._root / 'log'}\n"
        )
        # Like PostgreSQL, pgbouncer refuses to run as root.
        user = "nobody" if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(self._root, user)
        self._process = subprocess.Popen(
            [shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", settings],
            user=user,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,
        )
        until(self._answers, (self._root / "log").read_text)

    def __enter__(self) -> "Pooler":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(LIMIT_S)
        shutil.rmtree(self._root, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._root / "log").read_text()
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres")).close()
            return True
        return False

    def url(self, name: str) -> str:
        """The URL of a database through the pool."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"
