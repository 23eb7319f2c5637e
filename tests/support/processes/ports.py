"""Ports on loopback."""

import socket
from contextlib import suppress

from tests.support.waiting import until


def free_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, host: str = "127.0.0.1") -> None:
    """Wait until a process listens on *port*."""
    until(lambda: _listens(host, port), lambda: f"nothing listens on {port}")


def _listens(host: str, port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((host, port), timeout=1).close()
        return True
    return False
