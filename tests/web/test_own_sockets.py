"""Connections that the server in front of us would hold for ever."""

import errno
import select
import socket
import sys
from contextlib import suppress

import pytest

from gatepass.web.own_sockets import cut_off_unread, hang_up_all

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looked up in /proc")


def accepted(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection, the server's first."""
    client = socket.create_connection(listener.getsockname())
    return listener.accept()[0], client


def test_a_client_that_takes_nothing_of_its_answer_is_cut_off() -> None:
    """By the system, however much of the answer waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cut_off_unread(listener.getsockname()[1], 1)
        server, client = accepted(listener)
        with server, client:
            server.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    server.send(b"x" * 65_536)
            poll = select.poll()
            poll.register(server, select.POLLERR)
            assert poll.poll(60_000), "it is never cut off"
            assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT


def test_other_ports_are_left_alone() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mine,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        cut_off_unread(mine.getsockname()[1], 1)
        server, client = accepted(other)
        with server, client:
            assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
            hang_up_all(mine.getsockname()[1])
            server.sendall(b"still there")
            assert client.recv(100) == b"still there"
            hang_up_all(other.getsockname()[1])
            assert client.recv(100) == b""
