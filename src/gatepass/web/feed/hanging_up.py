"""Closing a connection whose other end doesn't read.

The server in front of us gives no way to do that: it would wait for ever, hold what it couldn't
send, and not stop when told to. So the connection's socket is looked up among this process's own.
"""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")


def hang_up(peer: tuple[str, int]) -> bool:
    """Close this process's connection with *peer* both ways; whether there was one.

    Elsewhere than on Linux nothing happens: the connection ends when its other end does.
    """
    for entry in _listed():
        # Whatever is closed meanwhile by whoever it belongs to, is closed.
        with suppress(OSError, ValueError):
            descriptor = int(entry)
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            # A duplicate: the number may be another's by the time it is looked at again.
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                if connection.getpeername()[:2] == peer:
                    connection.shutdown(socket.SHUT_RDWR)
                    return True
    return False


def _listed() -> list[str]:
    try:
        return os.listdir(_DESCRIPTORS)
    except OSError:
        return []
