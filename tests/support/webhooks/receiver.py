"""A real HTTPS server on loopback that receives webhooks, and answers as a test says."""

import json
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.processes.ports import free_port
from tests.support.waiting import LIMIT_S
from tests.support.webhooks.certificates import Certificates


@dataclass(frozen=True)
class Received:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def subject(self) -> str:
        """The id of the record that the event is about."""
        found: str = self.event["data"]["subject"]["id"]
        return found


#: Answers a request by hand.
Answer = Callable[[Received, BaseHTTPRequestHandler], None]


def status(code: int, **headers: str) -> Answer:
    """Answer with a status and no body."""

    def answer(received: Received, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def body(content: bytes) -> Answer:
    """Answer 200 with a body."""

    def answer(received: Received, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


class Receiver:
    """A context manager that serves.

    Attributes:
        received: the requests so far.
        answer: how the next ones are answered.
        released: what ``hang`` waits for.
    """

    def __init__(self, certificates: Certificates, port: int | None = None) -> None:
        self.received: list[Received] = []
        self.answer: Answer = status(204)
        self.released = threading.Event()
        self.port = port or free_port()
        self._certificates = certificates

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://127.0.0.1:{self.port}/hook?a=b"

    def hang(self, received: Received, handler: BaseHTTPRequestHandler) -> None:
        """Answer nothing until the test releases it."""
        self.released.wait(LIMIT_S)
        with suppress(OSError):
            status(204)(received, handler)

    def subjects(self) -> list[str]:
        """The subjects of the requests, in their order."""
        return [each.subject for each in self.received]

    def __enter__(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.path, headers, content)
                receiver.received.append(received)
                with suppress(OSError):
                    receiver.answer(received, self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up is part of the tests."""

            def get_request(self) -> tuple[ssl.SSLSocket, Any]:
                connection, address = super().get_request()
                tls = context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
                return tls, address

        context = self._certificates.serving()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join(LIMIT_S)
        self._server.server_close()
