"""A TCP proxy between a node and PostgreSQL that can cut, freeze and lose connections."""

import contextlib
import socket
import threading


class Proxy:
    """Forwards to a port on loopback; a context manager that closes all connections.

    Attributes:
        port: the port it listens on.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: list[tuple[socket.socket, threading.Event]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        self._flowing.set()
        self.cut()

    def cut(self) -> None:
        """Close all open connections; new ones work."""
        for connection, _ in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def freeze(self) -> None:
        """Forward nothing, also on new connections; close none."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward again, including the data held back."""
        self._flowing.set()

    def half_open(self) -> None:
        """Drop the data of all open connections without closing them, as a restarted firewall
        does; new ones work."""
        for _, lost in self._open:
            lost.set()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listening.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            lost = threading.Event()
            self._open += [(here, lost), (there, lost)]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(
                    target=self._forward, args=(source, sink, lost), daemon=True
                ).start()

    def _forward(self, source: socket.socket, sink: socket.socket, lost: threading.Event) -> None:
        try:
            while data := source.recv(65_536):
                self._flowing.wait()
                if lost.is_set():
                    continue
                sink.sendall(data)
        except OSError:
            pass
        if not lost.is_set():
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
