"""Ports on loopback."""

import socket
import sys
from contextlib import suppress

from tests.support.waiting import until

#: Sockets that hold the ports given out, until this process ends.
_held: list[socket.socket] = []


def free_port() -> int:
    """A port that no process listens on, and that no other test gets.

    A bound socket that doesn't listen holds it, at every address: Linux gives the port to no one
    who asks for any port, yet lets a server with SO_REUSEADDR listen on it.
    """
    both = socket.has_dualstack_ipv6()
    holder = socket.socket(socket.AF_INET6 if both else socket.AF_INET)
    if both:
        holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("", 0))
    port = holder.getsockname()[1]
    if sys.platform == "linux":
        _held.append(holder)
    else:
        holder.close()
    return int(port)


def wait_for_port(port: int, host: str = "127.0.0.1") -> None:
    """Wait until a process listens on *port*."""
    until(lambda: _listens(host, port), lambda: f"nothing listens on {port}")


def _listens(host: str, port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((host, port), timeout=1).close()
        return True
    return False
