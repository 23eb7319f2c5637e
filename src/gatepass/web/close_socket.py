"""Closing connections of this process whose client doesn't read.

Granian has no way to close a connection or to set a socket option: it would wait for ever for a
client that doesn't read, hold the unsent data, and not stop when told to. So the sockets are looked
up among this process's open files (``/proc/self/fd``). On other systems than Linux none are found,
and a connection ends when the client closes it.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: A client that acknowledges none of the data sent to it for this long is disconnected.
UNREAD_SECONDS = 60

_DESCRIPTORS = Path("/proc/self/fd")


def close_socket(peer: tuple[str, int]) -> bool:
    """Shut this process's connection with *peer* down both ways; whether there was one."""
    for found in _own_sockets():
        with suppress(OSError):
            if found.getpeername()[:2] == peer:
                found.shutdown(socket.SHUT_RDWR)
                return True
    return False


def close_all(port: int) -> None:
    """Shut down every connection to *port*, even in the middle of a request."""
    for found in _own_sockets():
        with suppress(OSError, IndexError, TypeError):
            if found.getsockname()[1] == port and found.getpeername():
                found.shutdown(socket.SHUT_RDWR)


def set_unread_timeout(port: int, seconds: float = UNREAD_SECONDS) -> None:
    """Have the system close connections to *port* whose client doesn't read (TCP_USER_TIMEOUT).

    Connections inherit the option from the listening socket.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        return
    for found in _own_sockets():
        with suppress(OSError):
            listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and found.getsockname()[1] == port:
                found.setsockopt(socket.IPPROTO_TCP, option, round(seconds * 1000))


def _own_sockets() -> Iterator[socket.socket]:
    """A duplicate of each open socket, closed after use."""
    for entry in _listed():
        # Another thread may close the descriptor while we iterate; ignore it.
        with suppress(OSError, ValueError):
            descriptor = int(entry)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                # A duplicate, because the number may be reused for another file at any time.
                with socket.socket(fileno=os.dup(descriptor)) as found:
                    yield found


def _listed() -> list[str]:
    try:
        return os.listdir(_DESCRIPTORS)
    except OSError:
        return []
