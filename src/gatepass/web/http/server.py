"""Listens, times connections out, and stops."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Final

from gatepass.core.errors import Misconfigured
from gatepass.web.http.answers import status_line
from gatepass.web.http.connection import UNREAD_SECONDS, Connection

#: Connections at a time. They cost little; with a limit near a thousand, an attacker who opens that
#: many and sends nothing would keep everyone else out until they time out.
MOST_CONNECTIONS: Final = 16_384
_BACKLOG = 1024
#: How much of an answer the system may hold, about.
_SENDING_BYTES = 131_072
#: When stopping, idle connections stay open for this long: a gateway may be sending on one.
_LINGERING_SECONDS = 1
#: When stopping, clients that neither finish a request nor read an answer get this long.
_LAST_SECONDS = 15


class Server:
    """The connections of one process.

    Args:
        connection: makes a connection of this server.
        most: how many connections may be open at a time.

    Attributes:
        stopping: whether connections close after the request in progress.
        starts: the first lines of answers by status, as far as they were needed this second.
        tick: seconds since the start, for time limits: reading a clock for each request would cost
            more.
    """

    def __init__(
        self, connection: Callable[["Server"], Connection], *, most: int = MOST_CONNECTIONS
    ) -> None:
        self.tick = 0
        self._connection = connection
        self._most = most
        self._connections: set[Connection] = set()
        # Those that haven't yet been recognized; oldest first.
        self._strangers: dict[Connection, None] = {}
        self._listeners: list[asyncio.Server] = []
        self.starts: dict[int, bytes] = {}
        self._date = b""
        self.stopping = False
        self._stopped_at = 0
        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._set_date()
        self._loop.call_later(1, self._next_tick)

    async def listen(self, listener: socket.socket) -> None:
        """Accept connections on *listener*."""
        # Inherited by each connection. Otherwise the system takes megabytes of an answer at a time,
        # and a client that reads slowly looks for minutes like one that doesn't read.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENDING_BYTES)
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None and listener.family != socket.AF_UNIX:
            # Inherited, too: one that acknowledges nothing for this long is gone.
            listener.setsockopt(socket.IPPROTO_TCP, option, UNREAD_SECONDS * 1000)
        make = lambda: self._connection(self)  # noqa: E731 - the factory takes no argument
        if listener.family == socket.AF_UNIX:
            self._listeners.append(
                await self._loop.create_unix_server(make, sock=listener, backlog=_BACKLOG)
            )
        else:
            self._listeners.append(
                await self._loop.create_server(make, sock=listener, backlog=_BACKLOG)
            )

    def stop(self) -> None:
        """Accept nothing more, and close each connection after the request in progress."""
        if not self.stopping:
            self.stopping, self._stopped_at = True, self.tick
            for listener in self._listeners:
                listener.close()
            self._end_if_empty()

    async def stopped(self) -> None:
        """Wait until all connections are closed after ``stop``."""
        await self._stopped.wait()

    def start_of(self, status: int) -> bytes:
        """The status line and the Date of an answer."""
        start = self.starts.get(status)
        if start is None:
            start = self.starts[status] = status_line(status) + self._date
        return start

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call *function* after what is due now."""
        self._loop.call_soon(function)

    def opened(self, connection: Connection) -> None:
        """Register a connection; where there are too many, the oldest stranger is closed."""
        if len(self._connections) >= self._most:
            oldest = next(iter(self._strangers), None)
            if oldest is None:
                connection.abort()
                return
            self.closed(oldest)
            oldest.abort()
        self._connections.add(connection)
        self._strangers[connection] = None

    def recognized(self, connection: Connection) -> None:
        """Exempt a gateway's or a service's connection from being closed for a new one."""
        self._strangers.pop(connection, None)

    def busy(self, connection: Connection) -> None:
        """Don't close a connection for a new one until it is ``idle``."""
        self._strangers.pop(connection, None)

    def idle(self, connection: Connection) -> None:
        """Close a connection for a new one, after those that are idle for longer."""
        if connection in self._connections:
            self._strangers.pop(connection, None)
            self._strangers[connection] = None

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._strangers.pop(connection, None)
        self._end_if_empty()

    def _next_tick(self) -> None:
        self._loop.call_later(1, self._next_tick)
        self.tick += 1
        self._set_date()
        for connection in [each for each in self._connections if each.deadline <= self.tick]:
            connection.time_out()
        if self.stopping:
            since = self.tick - self._stopped_at
            for connection in list(self._connections):
                if since > _LAST_SECONDS:
                    connection.abort()
                elif since > _LINGERING_SECONDS:
                    connection.leave()

    def _set_date(self) -> None:
        self._date = f"date: {formatdate(usegmt=True)}\r\n".encode()
        self.starts.clear()

    def _end_if_empty(self) -> None:
        if self.stopping and not self._connections:
            self._stopped.set()


def listener(host: str, port: int) -> socket.socket:
    """A socket to listen on, that several processes may share."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind((host, port))
    return found


@contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    """A Unix socket that listens at *path* with mode 0660; removed at the end.

    Raises:
        Misconfigured: something listens there, something else lies there, or it can't be made.
    """
    _remove_left_behind(path)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must hold from the first moment.
    former = os.umask(0o117)
    try:
        found.bind(str(path))
    except OSError as error:
        found.close()
        raise _unusable(path, error.strerror) from None
    finally:
        os.umask(former)
    with found:
        found.listen(_BACKLOG)
        mine = os.stat(path).st_ino
        try:
            yield found
        finally:
            with suppress(OSError):
                if os.stat(path).st_ino == mine:
                    path.unlink()


def require_directory(path: Path) -> None:
    """Raise Misconfigured unless the Unix socket *path* would lie in a directory."""
    if not path.parent.is_dir():
        raise _unusable(path, "there is no such directory")


def _remove_left_behind(path: Path) -> None:
    """Remove the socket of a server that was killed."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise _unusable(path, "another file is there")
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, error.strerror) from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # Where another process listens and accepts nothing, connecting would wait for ever.
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(path, error.strerror) from None
        else:
            raise _unusable(path, "another process listens there")


def _unusable(path: Path, why: str | None) -> Misconfigured:
    return Misconfigured(f"GATEPASS_VERIFY_SOCKET: can't listen at {path}: {why}")
