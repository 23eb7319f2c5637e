"""A TCP proxy that can be told to misbehave, between a node and PostgreSQL."""

import contextlib
import socket
import threading


class Proxy:
    """Forwards to a port on loopback; a context manager that closes everything.

    Attributes:
        port: where it listens.
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
        """Close all connections there are; new ones work."""
        for connection, _ in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def freeze(self) -> None:
        """Forward nothing any more, of new connections neither; none is closed."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward again, what was held back too."""
        self._flowing.set()

    def half_open(self) -> None:
        """Forget the connections there are without closing them, as a firewall that was restarted
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
