"""Closing a connection whose other end doesn't read."""

import socket
from contextlib import suppress

from gatepass.web.own_sockets import own_sockets


def hang_up(peer: tuple[str, int]) -> bool:
    """Close this process's connection with *peer* both ways; whether there was one."""
    for found in own_sockets():
        with suppress(OSError):
            if found.getpeername()[:2] == peer:
                found.shutdown(socket.SHUT_RDWR)
                return True
    return False
