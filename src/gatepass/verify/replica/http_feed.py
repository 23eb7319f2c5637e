"""``GET /v1/feed`` as a follower reads it, with the standard library's HTTP client.

A verifier key is a credential: it goes to a host that TLS has proved, to this machine, or to
nowhere; redirects are not followed, and nothing here puts it into a message.
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

#: A server is given this long to take a connection, and to begin its answer.
CONNECT_SECONDS = 5.0
#: A stream has a heartbeat at least every second; one that is silent for this long is dead, though
#: no packet may ever say so (a half-open connection, a frozen server).
SILENCE_SECONDS = 3.5
#: And no frame takes longer than this to come, on however slow a line.
LONGEST_FRAME_SECONDS = 30.0

_AT_ONCE = 1 << 16
_LONGEST_ANSWER = 1 << 16
#: An answer's head, with all that may precede it (``100 Continue``), and any other answer than a
#: feed, is no longer than this.
_MOST_HEAD_BYTES = 1 << 17
#: A frame may come in small chunks, each with a head of its own.
_MOST_BYTES_A_FRAME = 2 * MOST_FRAME_BYTES + (1 << 20)
VERSION = version("gatepass")


class Refused(GatepassError):
    """The server answered, but not with what was asked for.

    Attributes:
        status: the HTTP status.
    """

    reason = "refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class FeedServer:
    """Where a feed comes from, and the key that opens it.

    Args:
        url: of the Gatepass installation, such as ``https://gatepass.internal``.
        key: a verifier key's text.
        context: how TLS proves the server; Python's default otherwise.
        cafile: certificates to trust instead of the system's, as a PEM file.
        allow_http: show the key to another machine without TLS.

    Raises:
        Misconfigured: the URL or the key isn't one, or the key would go over the network in clear.
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
                f"the verifier key would go to {parts.hostname} in clear; use https, or say "
                "allow_http=True if the network is yours alone"
            )
        credential = credentials.parse(key)
        if credential is None or credential.prefix != credentials.VERIFIER_KEY:
            raise Misconfigured("the key isn't a verifier key's text (gpvk_…)")
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
        """Ask for a feed; its answer has begun when this returns.

        Raises:
            Refused: the server doesn't give one.
            BrokenFeed: what it gives isn't one.
            OSError, http.client.HTTPException: it can't be reached.
        """
        return Stream(self._open(), f"{self._path}/v1/feed?{urlencode(query)}", self._headers())

    def line(self) -> "Line":
        """A connection of its own for what is told the server."""
        return Line(self._open, self._path + "/v1/feed/", self._headers())

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


class _Bounded(io.RawIOBase):
    """What comes over a connection, within a size and a time.

    ``http.client`` reads interim answers, chunk extensions and trailers for as long as they come; a
    hostile or broken server must not keep it at that.
    """

    def __init__(self, inner: io.RawIOBase) -> None:
        self._inner = inner
        self._deadline, self._left = 0.0, 0

    def allow(self, seconds: float, size: int) -> None:
        """So much may come from now on."""
        self._deadline, self._left = time.monotonic() + seconds, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        if time.monotonic() > self._deadline:
            raise BrokenFeed("the server's answer doesn't come to its end; it was cut")
        count = self._inner.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise BrokenFeed("the server sends more than an answer may hold; it was cut")
        return count

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer whose bytes are bounded from the first one on."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.bounded = _Bounded(self.fp.detach())
        self.bounded.allow(CONNECT_SECONDS, _MOST_HEAD_BYTES)
        self.fp = io.BufferedReader(self.bounded)


class _Connected:
    """A connection that can be let go of, also by a forked process that has merely inherited it."""

    def __init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None

    def _connect(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        # Should it end, that is for us to know: the client would quietly open another.
        connection.auto_open = 0
        connection.response_class = _Answer
        connection.connect()
        self._connection, self._socket = connection, connection.sock
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self) -> None:
        """Close it. Another thread that waits for it then stops waiting."""
        sock, self._socket = self._socket, None
        connection, self._connection = self._connection, None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def abandon(self) -> None:
        """Close this process's descriptor and nothing else: the connection is another process's,
        and must end when that does."""
        sock, self._socket = self._socket, None
        if sock is not None:
            descriptor = sock.detach()
            if descriptor >= 0:
                os.close(descriptor)


class Stream(_Connected):
    """One feed as it comes."""

    def __init__(
        self, connection: http.client.HTTPConnection, target: str, headers: dict[str, str]
    ) -> None:
        super().__init__()
        try:
            sock = self._connect(connection).sock
            connection.request("GET", target, headers={**headers, "Accept": MEDIA_TYPE})
            self._answer = connection.getresponse()
            if self._answer.status != 200:
                raise _refused(self._answer.status, self._answer.read(_LONGEST_ANSWER))
            if self._answer.headers.get_content_type() != MEDIA_TYPE:
                raise BrokenFeed("what answers there isn't Gatepass's feed")
            # Only now: the answer's beginning may take as long as connecting does.
            sock.settimeout(SILENCE_SECONDS)
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[Frame]:
        """The frames, as they come, until the server ends the stream.

        Raises:
            BrokenFeed: it isn't a feed, or ends within a frame.
            OSError, http.client.HTTPException: the connection broke, or was silent for too long.
        """
        frames = Frames()
        self._expect_frame()
        while data := self._answer.read1(_AT_ONCE):
            whole = False
            for frame in frames.feed(data):
                whole = True
                yield frame
            if whole:
                # Only now: what was made of them took its time, too.
                self._expect_frame()
        if frames.begun:
            raise BrokenFeed("the stream ended within a frame")

    def _expect_frame(self) -> None:
        # A byte now and then is no sign of life.
        assert isinstance(self._answer, _Answer)
        self._answer.bounded.allow(LONGEST_FRAME_SECONDS, _MOST_BYTES_A_FRAME)


class Line(_Connected):
    """A connection kept for what is told the server, opened when there is something to tell."""

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

    def post(self, what: str, body: bytes) -> bytes:
        """Tell it some JSON; what it answers.

        Raises:
            Refused: the server doesn't take it.
            BrokenFeed: its answer is larger, or takes longer, than one may.
            OSError, http.client.HTTPException: it can't be reached.
        """
        kept = self._connection is not None
        try:
            try:
                return self._post(what, body)
            except (ConnectionError, http.client.HTTPException):
                if not kept:
                    raise
                # It was idle for too long, and the server let go of it. All that is told here may
                # be told twice.
                self.close()
                return self._post(what, body)
        except BaseException:
            self.close()
            raise

    def _post(self, what: str, body: bytes) -> bytes:
        connection = self._connection or self._connect(self._open())
        connection.request("POST", self._path + what, body=body, headers=self._headers)
        answer = connection.getresponse()
        said = answer.read(_LONGEST_ANSWER + 1)
        if answer.status != 200 or len(said) > _LONGEST_ANSWER:
            raise _refused(answer.status, said)
        if answer.will_close:
            self.close()
        return said


def _refused(status: int, body: bytes) -> Refused:
    # Of what a server says only its one word is repeated: nothing else has a place in a log.
    reason = ""
    with suppress(ValueError, TypeError, KeyError):
        word = json.loads(body)["reason"]
        if re.fullmatch("[a-z_]{1,40}", word):
            reason = f" {word}"
    return Refused(f"the server answers {status}{reason}", status)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Misconfigured(f"{url!r} isn't a URL such as https://gatepass.internal") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        # Not repeated: who writes a password into a URL doesn't want it in a log.
        raise Misconfigured("the URL must have no user, query or fragment")
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port == 0
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise Misconfigured(f"{url!r} isn't a URL such as https://gatepass.internal")
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
