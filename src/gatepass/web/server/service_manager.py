"""Tells systemd that the server is ready, alive, or stopping: the protocol of ``sd_notify(3)``.

It is a datagram to a Unix socket that the environment names. Under anything else there is none, and
nothing is told.
"""

import contextlib
import os
import socket
from collections.abc import Mapping


class ServiceManager:
    """The service manager that started this process, if it wants to be told.

    Attributes:
        watchdog_s: it must hear that the process is alive this often; None if it doesn't mind.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        named = environ.get("NOTIFY_SOCKET", "")
        # Linux's abstract names begin with a NUL, which an environment can't hold.
        self._address = "\0" + named[1:] if named.startswith("@") else named
        self.watchdog_s = _watchdog_s(environ) if self._address else None

    def ready(self) -> None:
        """The server serves."""
        self._tell(b"READY=1")

    def alive(self) -> None:
        """The supervisor works."""
        if self.watchdog_s is not None:
            self._tell(b"WATCHDOG=1")

    def stopping(self) -> None:
        """The server stops by itself or as it was told."""
        self._tell(b"STOPPING=1")

    def _tell(self, what: bytes) -> None:
        if self._address:
            # A manager that doesn't listen must not stop the server.
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
            ):
                sender.setblocking(False)
                sender.sendto(what, self._address)


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    text, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID")
    if not text.isdecimal() or (pid and pid != str(os.getpid())):
        return None
    return int(text) / 1_000_000
