"""The service manager is told: a real datagram socket stands for systemd's."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass.web.server.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def told(manager: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(manager.recv(1_024))
        except BlockingIOError:
            return found


def test_it_is_told_what_happens(manager: socket.socket) -> None:
    started = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()})
    started.ready()
    started.alive()
    started.stopping()
    assert told(manager) == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize(("of", "seconds"), [("", 3.0), ("us", 3.0), ("another", None)])
def test_a_watchdog_hears_that_it_is_alive(
    manager: socket.socket, of: str, seconds: float | None
) -> None:
    pid = {"": "", "us": str(os.getpid()), "another": str(os.getpid() + 1)}[of]
    watched = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "3000000"}
    started = ServiceManager(watched | ({"WATCHDOG_PID": pid} if pid else {}))
    assert started.watchdog_s == seconds
    started.alive()
    assert told(manager) == ([b"WATCHDOG=1"] if seconds else [])


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "1"}, {"NOTIFY_SOCKET": "/no/such/socket"}]
)
def test_without_one_nothing_happens(environ: dict[str, str]) -> None:
    started = ServiceManager(environ)
    started.ready()
    started.stopping()


def test_an_abstract_name(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{tmp_path}")
        ServiceManager({"NOTIFY_SOCKET": f"@{tmp_path}"}).ready()
        assert listening.recv(100) == b"READY=1"
