"""The API behind a gateway: answers with what it got, and keeps it."""

import base64
import hashlib
import http.server
import json
import threading
from dataclasses import asdict, dataclass
from functools import partial


@dataclass(frozen=True)
class Reached:
    """A request that reached the API.

    Attributes:
        target: as it came, not decoded.
        headers: names as they came, and values.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str

    def values(self, name: str) -> list[str]:
        """The values of one header."""
        return [value for found, value in self.headers if found.lower() == name.lower()]


class EchoApi:
    """Answers 200 with the request as JSON, and 101 to a WebSocket's handshake.

    A context manager that serves.

    Attributes:
        port: on 127.0.0.1.
        reached: the requests until now; tests clear it.
    """

    def __init__(self) -> None:
        self.reached: list[Reached] = []
        handler = partial(_Handler, self.reached)
        self._server = _Server(("127.0.0.1", 0), handler)
        self.port = self._server.server_port

    def __enter__(self) -> "EchoApi":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Gateways end with connections open."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, reached: list[Reached], *args: object) -> None:
        self._reached = reached
        super().__init__(*args)  # type: ignore[arg-type] # as socketserver calls it

    def _answer(self) -> None:
        # self.path has lost leading slashes.
        target = self.requestline.split(" ")[1]
        request = Reached(self.command, target, self.headers.items(), self._body())
        self._reached.append(request)
        listed = (self.headers.get("connection") or "").lower().replace(" ", "").split(",")
        if "upgrade" in listed and (self.headers.get("upgrade") or "").lower() == "websocket":
            self._switch_protocols(request)
            return
        body = json.dumps(asdict(request)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Access-Control-Allow-Origin", "https://only.example")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _answer

    def _body(self) -> str:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        body = b""
        while length := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body.decode()

    def _switch_protocols(self, request: Reached) -> None:
        accept = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = base64.b64encode(hashlib.sha1(accept.encode()).digest())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "upgrade")
        self.send_header("Sec-WebSocket-Accept", digest.decode())
        self.end_headers()
        # Not a valid frame, but it shows that bytes pass.
        self.wfile.write(json.dumps(asdict(request)).encode() + b"\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
