"""One node as an operator runs it: ``gatepass serve`` with its own data directory and ports."""

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.needs import require
from tests.support.processes.children import child_ids
from tests.support.processes.ports import free_port
from tests.support.processes.workers import ask
from tests.support.waiting import LIMIT_S


class ServedNode:
    """A ``gatepass serve`` process and its environment.

    Args:
        data: the data directory.
        log: the file that standard output and standard error are appended to.
        settings: more ``GATEPASS_`` variables; they win over the ones set here.

    Attributes:
        url: of the main port.
        verify_url: of the verify port.
        process: the supervisor; None before the first start.
        module: the ``gatepass`` command's.
    """

    module = "gatepass.cli"

    def __init__(self, data: Path, log: Path, catalogue: Path, settings: dict[str, str]) -> None:
        require("processes")
        self.data, self.log = data, log
        self.port, self.verify_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.verify_url = f"http://127.0.0.1:{self.verify_port}"
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("GATEPASS_")},
            "GATEPASS_DATA_DIR": str(data),
            "GATEPASS_CATALOGUE": str(catalogue),
            "GATEPASS_PORT": str(self.port),
            "GATEPASS_VERIFY_PORT": str(self.verify_port),
            "GATEPASS_WORKERS": "2",
            "GATEPASS_VERIFY_WORKERS": "1",
            "GATEPASS_PUBLIC_URL": self.url,
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, as a service manager would."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, "serve"],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = LIMIT_S) -> float:
        """Wait until the node is ready; the seconds that took.

        Raises:
            RuntimeError: the process exited, or *seconds* passed.
        """
        assert self.process is not None
        started = time.monotonic()
        while not self.all_ready():
            if self.process.poll() is not None or time.monotonic() > started + seconds:
                raise RuntimeError(f"{self.url} isn't ready: {self.log.read_text()[-3000:]}")
            time.sleep(0.05)
        return time.monotonic() - started

    def all_ready(self) -> bool:
        """Whether both ports answer ``/health/ready`` with 200."""
        return self.ready(self.port) and self.ready(self.verify_port)

    def ready(self, port: int) -> bool:
        """Whether ``/health/ready`` answers 200 on *port*."""
        try:
            return ask(port, "GET", "/health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def stop(self) -> int:
        """Stop the node with SIGTERM, as an operator does; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(LIMIT_S)

    def kill(self) -> None:
        """Kill the supervisor and its workers at once with SIGKILL."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [] if self.process is None else child_ids(self.process.pid)
