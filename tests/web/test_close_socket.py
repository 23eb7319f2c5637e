"""Disconnecting clients that Granian would keep connected forever."""

import errno
import select
import socket
import sys
from contextlib import suppress

import pytest

from gatepass.web.close_socket import close_all, set_unread_timeout

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looked up in /proc")


def accepted(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection, the server's first."""
    client = socket.create_connection(listener.getsockname())
    return listener.accept()[0], client


def test_a_client_that_does_not_read_is_disconnected() -> None:
    """The system disconnects it, regardless of unsent data."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        set_unread_timeout(listener.getsockname()[1], 1)
        server, client = accepted(listener)
        with server, client:
            server.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    server.send(b"x" * 65_536)
            poll = select.poll()
            poll.register(server, select.POLLERR)
            assert poll.poll(60_000), "it is never disconnected"
            assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT


def test_connections_of_other_ports_stay_open() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mine,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        set_unread_timeout(mine.getsockname()[1], 1)
        server, client = accepted(other)
        with server, client:
            assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
            close_all(mine.getsockname()[1])
            server.sendall(b"still there")
            assert client.recv(100) == b"still there"
            close_all(other.getsockname()[1])
            assert client.recv(100) == b""
