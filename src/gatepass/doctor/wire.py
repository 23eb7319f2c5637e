"""An HTTP/1.1 client that sends exactly the bytes it is given.

Usual clients normalize paths, merge repeated headers and refuse odd names: what a gateway must
withstand.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from urllib.parse import urlsplit

from gatepass.core.errors import GatepassError

Headers = Sequence[tuple[str, str]]

_TIMEOUT_S = 10.0
_MOST_BYTES = 1 << 20
_SCHEMES = {"http": 80, "https": 443}
#: A gateway on this machine is called from this address, which can't be mistaken for the gateway's.
#: Linux answers on all of 127.0.0.0/8.
OWN_LOOPBACK = "127.87.87.87"


class Unreachable(GatepassError):
    """The gateway gave no HTTP answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the gateway.

    Attributes:
        headers: names in lower case.
        sent_at, received_at: Unix time in seconds, before and after the call.
        seconds: from sending the request to the end of the answer.
        address: this machine's, of the connection.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sent_at: float
    received_at: float
    seconds: float
    address: str

    def header(self, name: str) -> str | None:
        """The first value of the header *name*, in lower case; None without one."""
        return next((value for each, value in self.headers if each == name), None)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway's address.

    Attributes:
        authority: host and port as in the URL, for ``Host``.
        path: of the URL; empty if it has none.
    """

    secure: bool
    host: str
    port: int
    authority: str
    path: str

    @classmethod
    def at(cls, url: str) -> "Gateway":
        """Read a URL.

        Raises:
            ValueError: it isn't one of a gateway; the message is for the person who typed it.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        scheme = url.partition(":")[0].lower()
        plain = url.isascii() and url.isprintable() and " " not in url
        if not host or scheme not in _SCHEMES or not plain or "@" in parts.netloc:
            raise ValueError("must be a URL such as https://api.example.com")
        if parts.query or parts.fragment or "?" in url or "#" in url:
            raise ValueError("must have no query and no fragment")
        path = "" if parts.path == "/" else parts.path
        secure = scheme == "https"
        return cls(secure, host, port or _SCHEMES[scheme], parts.netloc, path)

    @property
    def url(self) -> str:
        """Its URL without the path."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"

    def ask(self, method: str, target: str, headers: Headers = ()) -> Answer:
        """Send one request on a connection of its own.

        Raises:
            Unreachable: there was no HTTP answer.
        """
        with self.connection() as connection:
            return connection.ask(method, target, (*headers, ("Connection", "close")))

    @contextmanager
    def connection(self) -> "Iterator[Connection]":
        """A connection for several requests; it reconnects when the gateway closes it."""
        connection = Connection(self)
        try:
            yield connection
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a connection.

        Raises:
            OSError: there is none.
        """
        made = self._connect()
        if not self.secure:
            return made
        try:
            return ssl.create_default_context().wrap_socket(made, server_hostname=self.host)
        except OSError:
            made.close()
            raise

    def _connect(self) -> socket.socket:
        where = (self.host, self.port)
        if self._on_this_machine():
            try:
                return socket.create_connection(where, _TIMEOUT_S, (OWN_LOOPBACK, 0))
            except OSError:
                # Another system than Linux, or IPv6 alone.
                pass
        return socket.create_connection(where, _TIMEOUT_S)

    def _on_this_machine(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Connection:
    """A connection to a gateway. Use ``Gateway.connection``."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._socket: socket.socket | None = None

    def ask(self, method: str, target: str, headers: Headers = ()) -> Answer:
        """Send a request.

        Raises:
            Unreachable: there was no HTTP answer.
        """
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._gateway.authority}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if method in ("POST", "PUT", "PATCH"):
            lines.append("Content-Length: 0")
        head = "\r\n".join((*lines, "User-Agent: gatepass-doctor", "", "")).encode("latin-1")
        try:
            if self._socket is not None:
                # Between two requests a gateway may close it.
                with suppress(ConnectionError):
                    return self._exchange(self._socket, method, head)
                self.close()
            self._socket = self._gateway.connect()
            return self._exchange(self._socket, method, head)
        except OSError as error:
            self.close()
            why = error.strerror or str(error) or "the connection was closed"
            raise Unreachable(f"{self._gateway.url}: {why}") from error
        except HTTPException as error:
            self.close()
            why = type(error).__name__
            raise Unreachable(f"{self._gateway.url}: the answer isn't HTTP/1.1 ({why})") from error

    def close(self) -> None:
        """Close it; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, on: socket.socket, method: str, head: bytes) -> Answer:
        sent_at, began = time.time(), time.perf_counter()
        on.sendall(head)
        response = HTTPResponse(on, method=method)
        try:
            response.begin()
            body = response.read(_MOST_BYTES)
            ended = time.perf_counter()
            answer = Answer(
                response.status,
                tuple((name.lower(), value) for name, value in response.getheaders()),
                body,
                sent_at,
                time.time(),
                ended - began,
                str(on.getsockname()[0]),
            )
            if response.will_close or len(body) == _MOST_BYTES:
                self.close()
            return answer
        finally:
            response.close()
