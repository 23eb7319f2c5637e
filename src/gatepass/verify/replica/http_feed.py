"""HTTP client of the feed (``GET /v1/feed``), with the standard library's ``http.client``.

A verifier key is a credential. It is sent only to a host that TLS has authenticated or to this
machine; redirects are not followed, and no message contains it.
"""

import http.client
import io
import ipaddress
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlencode, urlsplit

from gatepass.core import credentials
from gatepass.core.errors import GatepassError, Misconfigured
from gatepass.verify.replica.frames import MEDIA_TYPE, MOST_FRAME_BYTES, BrokenFeed, Frame, Frames

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Timeout of connecting, and of the response's head.
CONNECT_SECONDS = 5.0
#: A stream has a heartbeat at least every second. One that is silent for this long is dead, even if
#: TCP reports nothing (a half-open connection, a frozen server).
SILENCE_SECONDS = 3.5
#: Timeout of one frame, for slow connections.
LONGEST_FRAME_SECONDS = 30.0

_READ_BYTES = 1 << 16
_MOST_RESPONSE_BYTES = 1 << 16
#: Bound of a response's head with all that may precede it (``100 Continue``), and of any response
#: that isn't a feed.
_MOST_HEAD_BYTES = 1 << 17
#: A frame may arrive in small chunks, each with a chunk header.
_MOST_BYTES_A_FRAME = 2 * MOST_FRAME_BYTES + (1 << 20)
VERSION = version("gatepass")


class FeedRefused(GatepassError):
    """The server's response isn't the requested one.

    Attributes:
        status: the HTTP status.
    """

    reason = "refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class FeedServer:
    """A Gatepass server and the verifier key for its feed.

    Args:
        url: of the Gatepass installation, such as ``https://gatepass.internal``.
        key: a verifier key's text.
        context: authenticates the server; Python's default context otherwise.
        cafile: certificates to trust instead of the system's, as a PEM file.
        allow_http: send the key to another machine without TLS.

    Raises:
        Misconfigured: the URL or the key is malformed, or the key would be sent in clear text.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        context: ssl.SSLContext | None = None,
        cafile: str | Path | None = None,
        allow_http: bool = False,
    ) -> None:
        parts = _parts(url)
        if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname or ""):
            raise Misconfigured(
                f"the verifier key would be sent to {parts.hostname} in clear text; use https, or "
                "set allow_http=True in a trusted network"
            )
        credential = credentials.parse(key)
        if credential is None or credential.prefix != credentials.VERIFIER_KEY:
            raise Misconfigured("the key must be a verifier key's text (gpvk_…)")
        self.key_id = credential.id
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._key = key
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/")
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = context or _context(cafile)

    def __repr__(self) -> str:
        return f"FeedServer({self.origin!r}, {self.key_id!r})"

    def stream(self, query: Sequence[tuple[str, str]]) -> "Stream":
        """Open a feed; return once its response has started.

        Raises:
            FeedRefused: the server's status isn't 200.
            BrokenFeed: the response isn't a feed.
            OSError, http.client.HTTPException: the server can't be reached.
        """
        return Stream(self._open(), f"{self._path}/v1/feed?{urlencode(query)}", self._headers())

    def report_connection(self) -> "ReportConnection":
        """A separate connection for reports to the server."""
        return ReportConnection(self._open, self._path + "/v1/feed/", self._headers())

    def _headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._key}",
            "User-Agent": f"gatepass/{VERSION}",
        }

    def _open(self) -> http.client.HTTPConnection:
        if self._context is not None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_SECONDS, context=self._context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)


class _BoundedReader(io.RawIOBase):
    """Limits the bytes and the time of what is read from a connection.

    ``http.client`` reads interim responses, chunk extensions and trailers without a limit, so a
    hostile or broken server could keep it busy for ever.
    """

    def __init__(self, inner: io.RawIOBase) -> None:
        self._inner = inner
        self._deadline, self._left = 0.0, 0

    def allow(self, seconds: float, size: int) -> None:
        """Allow *size* bytes within *seconds* from now on."""
        self._deadline, self._left = time.monotonic() + seconds, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        if time.monotonic() > self._deadline:
            raise BrokenFeed("the server's response was cut off: it took too long")
        count = self._inner.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise BrokenFeed("the server's response was cut off: it is too large")
        return count

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response that is bounded from its first byte."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.bounded = _BoundedReader(self.fp.detach())
        self.bounded.allow(CONNECT_SECONDS, _MOST_HEAD_BYTES)
        self.fp = io.BufferedReader(self.bounded)


class _Connection:
    """A connection that can be closed, also by a fork that inherited it."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None

    def _connect(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        # The caller must notice the end of the connection: don't reconnect silently.
        connection.auto_open = 0
        connection.response_class = _Response
        connection.connect()
        self._connection, self._socket = connection, connection.sock
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self) -> None:
        """Close the connection, which ends a read in another thread."""
        sock, self._socket = self._socket, None
        connection, self._connection = self._connection, None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def close_inherited(self) -> None:
        """In a fork: close the inherited descriptor without shutting the connection down.

        The connection is the parent's, and must end with the parent.
        """
        sock, self._socket = self._socket, None
        if sock is not None:
            descriptor = sock.detach()
            if descriptor >= 0:
                os.close(descriptor)


class Stream(_Connection):
    """One open feed."""

    def __init__(
        self, connection: http.client.HTTPConnection, target: str, headers: dict[str, str]
    ) -> None:
        super().__init__()
        try:
            sock = self._connect(connection).sock
            connection.request("GET", target, headers={**headers, "Accept": MEDIA_TYPE})
            self._response = connection.getresponse()
            if self._response.status != 200:
                raise _refused(self._response.status, self._response.read(_MOST_RESPONSE_BYTES))
            if self._response.headers.get_content_type() != MEDIA_TYPE:
                raise BrokenFeed("the server's response isn't a Gatepass feed")
            # Only now: the response's head may take as long as connecting.
            sock.settimeout(SILENCE_SECONDS)
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[Frame]:
        """Yield the frames until the server ends the stream.

        Raises:
            BrokenFeed: the response isn't a feed, or ends within a frame.
            OSError, http.client.HTTPException: the connection broke, or was silent for too long.
        """
        frames = Frames()
        self._expect_frame()
        while data := self._response.read1(_READ_BYTES):
            complete = False
            for frame in frames.feed(data):
                complete = True
                yield frame
            if complete:
                # Only now, as the caller took time to apply the frames.
                self._expect_frame()
        if frames.incomplete:
            raise BrokenFeed("the stream ended within a frame")

    def _expect_frame(self) -> None:
        # A deadline for the frame as a whole: single bytes are no sign of life.
        assert isinstance(self._response, _Response)
        self._response.bounded.allow(LONGEST_FRAME_SECONDS, _MOST_BYTES_A_FRAME)


class ReportConnection(_Connection):
    """A persistent connection for reports, opened by the first one."""

    def __init__(
        self,
        open_: Callable[[], http.client.HTTPConnection],
        path: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__()
        self._open = open_
        self._path = path
        self._headers = {**headers, "Content-Type": "application/json"}

    def post(self, name: str, body: bytes) -> bytes:
        """Send a report as JSON; return the body of the response.

        Raises:
            FeedRefused: the server's status isn't 200.
            BrokenFeed: the response is too large, or takes too long.
            OSError, http.client.HTTPException: the server can't be reached.
        """
        reused = self._connection is not None
        try:
            try:
                return self._post(name, body)
            except (ConnectionError, http.client.HTTPException):
                if not reused:
                    raise
                # The server closed an idle connection. Reports are idempotent, so retry.
                self.close()
                return self._post(name, body)
        except BaseException:
            self.close()
            raise

    def _post(self, name: str, body: bytes) -> bytes:
        connection = self._connection or self._connect(self._open())
        connection.request("POST", self._path + name, body=body, headers=self._headers)
        response = connection.getresponse()
        answer = response.read(_MOST_RESPONSE_BYTES + 1)
        if response.status != 200 or len(answer) > _MOST_RESPONSE_BYTES:
            raise _refused(response.status, answer)
        if response.will_close:
            self.close()
        return answer


def _refused(status: int, body: bytes) -> FeedRefused:
    # Only the one-word reason is repeated: the rest of a response must not get into a log.
    reason = ""
    with suppress(ValueError, TypeError, KeyError):
        word = json.loads(body)["reason"]
        if re.fullmatch("[a-z_]{1,40}", word):
            reason = f" {word}"
    return FeedRefused(f"the server answers {status}{reason}", status)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Misconfigured(f"{url!r} must be a URL such as https://gatepass.internal") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        # Not repeated: the URL may contain a password, which must not get into a log.
        raise Misconfigured("the URL must have no user, query or fragment")
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port == 0
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise Misconfigured(f"{url!r} must be a URL such as https://gatepass.internal")
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _context(cafile: str | Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if cafile is None else str(cafile))
    except (OSError, ssl.SSLError):
        raise Misconfigured(f"no certificates can be read from {cafile}") from None
