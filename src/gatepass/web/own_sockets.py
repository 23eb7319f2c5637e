"""This process's own sockets, looked up among its open files.

Granian gives no way to close a connection, or to set an option of one: it would wait for ever for a
client that doesn't read, hold what it couldn't send, and not stop when told to. Elsewhere than on
Linux nothing is found, and nothing happens: a connection ends when its other end does.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: An answer, or a part of one, that a client doesn't take for so long ends the connection.
UNREAD_SECONDS = 60

_DESCRIPTORS = Path("/proc/self/fd")


def own_sockets() -> Iterator[socket.socket]:
    """A duplicate of each socket that is open, closed again afterwards."""
    for entry in _listed():
        # What is closed meanwhile by its owner is no socket of ours any more.
        with suppress(OSError, ValueError):
            descriptor = int(entry)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                # A duplicate: the number may be another's by the time it is looked at again.
                with socket.socket(fileno=os.dup(descriptor)) as found:
                    yield found


def cut_off_unread(port: int, seconds: float = UNREAD_SECONDS) -> None:
    """Have the system close connections to *port* whose client takes nothing of what it is sent.

    Connections inherit this from the socket that listens.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is None:
        return
    for found in own_sockets():
        with suppress(OSError):
            listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and found.getsockname()[1] == port:
                found.setsockopt(socket.IPPROTO_TCP, option, round(seconds * 1000))


def hang_up_all(port: int) -> None:
    """Close every connection to *port*, whatever is under way."""
    for found in own_sockets():
        with suppress(OSError, IndexError, TypeError):
            if found.getsockname()[1] == port and found.getpeername():
                found.shutdown(socket.SHUT_RDWR)


def _listed() -> list[str]:
    try:
        return os.listdir(_DESCRIPTORS)
    except OSError:
        return []
