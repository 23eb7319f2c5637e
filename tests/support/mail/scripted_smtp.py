"""An SMTP server on loopback that follows a script."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

GREETING = b"220 scripted\r\n"
OK = b"250 ok\r\n"


class Talk:
    """The server's side of one connection.

    Attributes:
        stopped: set at the end of the test; endless scripts check it.
        heard: the client's lines without line ends; a message is one entry.
    """

    def __init__(self, connection: socket.socket, stopped: threading.Event) -> None:
        self.connection = connection
        self.stopped = stopped
        self.heard: list[bytes] = []
        self._file = connection.makefile("rb")

    def say(self, content: bytes) -> None:
        self.connection.sendall(content)

    def hear(self) -> bytes:
        """The client's next line."""
        line = self._file.readline().rstrip(b"\r\n")
        self.heard.append(line)
        return line

    def answer(self, *replies: bytes) -> None:
        """Answer the client's next lines, one reply each."""
        for reply in replies:
            self.hear()
            self.say(reply)

    def take_text(self) -> bytes:
        """Read the message up to its final dot."""
        lines = []
        while (line := self._file.readline()) not in (b".\r\n", b""):
            lines.append(line)
        self.heard.append(b"".join(lines))
        return self.heard[-1]

    def accept_mail(self, *replies: bytes) -> None:
        """Take one mail after *replies* to the client's first commands, and say goodbye."""
        self.answer(*replies, OK, OK, b"354 go on\r\n")
        self.take_text()
        self.say(OK)
        self.answer(b"221 bye\r\n")

    def secure(self, tls: ssl.SSLContext) -> None:
        """Start TLS."""
        self.connection = tls.wrap_socket(self.connection, server_side=True)
        self._file = self.connection.makefile("rb")

    def flood(self, content: bytes) -> None:
        """Send *content* until the client disconnects."""
        while not self.stopped.is_set():
            self.say(content)

    def hang(self) -> None:
        """Send nothing until the end of the test."""
        self.stopped.wait()


class ScriptedServer:
    """A server that runs *script* for each connection; a context manager that starts and stops it.

    Attributes:
        port: the port it listens on.
        talks: the connections so far.
    """

    def __init__(self, script: Callable[[Talk], None]) -> None:
        self._script = script
        self._stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.talks: list[Talk] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    @property
    def url(self) -> str:
        """The GATEPASS_SMTP_URL of this server."""
        return f"smtp://127.0.0.1:{self.port}"

    def url_for(self, user: str, password: str) -> str:
        """The URL with credentials, which must be escaped."""
        return f"smtp://{user}:{password}@127.0.0.1:{self.port}"

    def __enter__(self) -> "ScriptedServer":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            talk = Talk(connection, self._stopped)
            self.talks.append(talk)
            self._threads.append(threading.Thread(target=self._follow, args=(talk,), daemon=True))
            self._threads[-1].start()

    def _follow(self, talk: Talk) -> None:
        with suppress(OSError):
            self._script(talk)
        with suppress(OSError):
            talk.connection.shutdown(socket.SHUT_RDWR)
        talk.connection.close()
