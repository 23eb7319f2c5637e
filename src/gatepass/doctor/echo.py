"""An API that keeps the requests that reach it, byte for byte, for ``gatepass doctor --echo``."""

import secrets
import socketserver
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from gatepass.doctor.wire import Answer

#: The header of an answer with the id of its request; the body has the same text.
HEADER = "doctor-request"

_MOST_BYTES = 1 << 20
_IDLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived.

    Attributes:
        headers: as they were spelt.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """The values of the header *name*, whatever its case."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


class Echo:
    """A server on one port; a context manager that runs it.

    Raises:
        OSError: it can't listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        self._requests: dict[str, Received] = {}
        self._server = _Server((host, port), _Handler)
        self._server.requests = self._requests

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def received(self, answer: Answer) -> Received | None:
        """The request that *answer* is about; None if this isn't where it came from."""
        return self._requests.get(answer.header(HEADER) or answer.body.decode("latin-1"))


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    requests: dict[str, Received]


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = _IDLE_S

    def handle(self) -> None:
        try:
            while self._answer():
                pass
        except OSError:
            # The gateway closed the connection.
            pass

    def _answer(self) -> bool:
        """Answer a request; returns whether another may follow."""
        lines = []
        while (line := self.rfile.readline(_MOST_BYTES).decode("latin-1")) not in (
            "\r\n",
            "\n",
            "",
        ):
            lines.append(line.rstrip("\r\n"))
        if not lines:
            return False
        method, _, rest = lines[0].partition(" ")
        fields = [line.partition(":") for line in lines[1:]]
        headers = tuple((name, value.strip(" \t")) for name, _, value in fields)
        request = Received(method, rest.rpartition(" ")[0], headers)
        length = "".join(request.values("content-length")) or "0"
        self.rfile.read(min(int(length), _MOST_BYTES) if length.isdecimal() else 0)
        id = secrets.token_hex(8)
        self.server.requests[id] = request
        body = b"" if method == "HEAD" else id.encode()
        self.wfile.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(id)}\r\n"
            f"{HEADER}: {id}\r\n\r\n".encode()
            + body
        )
        return not (
            request.values("transfer-encoding") or request.values("connection") == ["close"]
        )
