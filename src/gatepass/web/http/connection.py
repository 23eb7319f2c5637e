"""One HTTP/1.1 connection: llhttp parses it strictly, a subclass answers each request at once.

Answers are computed within the callback that completes the request, so they are in the order of the
requests without a queue, and pipelining needs no care. What this class does care for:

* **Framing** (RFC 9112). llhttp refuses both lengths at once, repeated lengths, folded lines, bare
  line feeds and the other ways in which two parsers can read one byte stream differently; here
  follow the rules that it leaves to its user. A connection whose next request can't be found for
  certain is closed.
* **Time and size.** A head, a body, an idle connection and an unread answer each have a limit.
* **Unread answers.** While the client doesn't read, nothing more is read from it.
"""

import asyncio
import re
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from gatepass.web.unhandled import log_unhandled

#: Longest head of a request, in bytes. A feed's URL takes 60 KiB at most.
MOST_HEAD_BYTES: Final = 65_536
MOST_HEADERS: Final = 100
#: A connection that never sent a whole request, and the head of any request: seconds.
HEAD_SECONDS: Final = 30
#: A kept-alive connection between two requests. Longer than the 60 s after which nginx closes its
#: idle connections: the side that sends the next request must be the one that closes.
IDLE_SECONDS: Final = 75
#: How much of a body that nobody reads is skipped, and for how long, before the connection closes.
_SKIPPED_BYTES = 65_536
_SKIPPING_SECONDS = 2
#: A client that reads less than ``_LEAST_READ`` bytes of its answers in this time is disconnected.
UNREAD_SECONDS: Final = 60
_LEAST_READ = 16_384

_UNKNOWN: Final = float("inf")

#: A peer on a Unix socket, which has no address.
UNIX_PEER: Final = "unix:"

Header = tuple[bytes, bytes]

_authority_end: Final = re.compile(rb"[/?#]").search


def origin_form(target: bytes) -> bytes:
    """A request's target without scheme and authority, which proxies send (RFC 9112, 3.2.2)."""
    if target.startswith(b"/") or b"://" not in target:
        return target
    found = _authority_end(target, target.index(b"://") + 3)
    rest = target[found.start() :] if found else b""
    return rest if rest.startswith(b"/") else b"/" + rest


class Connections(Protocol):
    """What a connection needs of its server (``http.server``)."""

    @property
    def tick(self) -> int: ...

    @property
    def stopping(self) -> bool: ...

    @property
    def starts(self) -> dict[int, bytes]: ...

    def start_of(self, status: int) -> bytes: ...

    def opened(self, connection: "Connection") -> None: ...

    def closed(self, connection: "Connection") -> None: ...

    def busy(self, connection: "Connection") -> None: ...

    def idle(self, connection: "Connection") -> None: ...

    def call_soon(self, function: Callable[[], object]) -> Any: ...


class Connection(asyncio.Protocol, ABC):
    """A connection. A subclass answers its requests.

    Args:
        server: its server.

    Attributes:
        method: of the current request.
        target: its request target, as received.
        headers: its header lines in order, names as received, values without surrounding space.
        keep_alive: whether another request may follow.
        peer: the client's address as text; ``UNIX_PEER`` on a Unix socket, "" if unknown.
        piece_bytes: data is parsed in pieces of this size, so that one connection's pipelined
            requests don't keep the others waiting.
    """

    piece_bytes = 16_384

    def __init__(self, server: Connections) -> None:
        self.server = server
        self.method = b""
        self.target = b""
        self.headers: list[Header] = []
        self.keep_alive = True
        self.peer = ""
        #: When this connection times out, by ``Server.tick``.
        self.deadline: float = server.tick + HEAD_SECONDS
        self._parser = HttpRequestParser(self)
        self._feed = self._parser.feed_data
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        # Of a head, or of fields and chunk extensions around a body, without content in between.
        self._field_bytes = 0
        self._in_body = False
        self._skipped = 0
        self._unparsed: deque[bytes] = deque()
        self._paused = False
        # How much of the answers was unsent when the client last had to read.
        self._unsent: float = _UNKNOWN
        self._held = False
        self._closing = False

    # --- for subclasses -----------------------------------------------------------------------

    @abstractmethod
    def head_received(self) -> None:
        """Answer the request with ``respond``. Its body, if it has one, is skipped."""

    def skipped_body_broken(self) -> None:
        """Close, because the end of a body that nobody reads can't be found.

        Its request has its answer: a second one would be taken for that to another request.
        """
        self.close()

    @abstractmethod
    def refuse(self, status: int) -> None:
        """Answer a request that can't be read with *status*, and close the connection."""

    def respond(self, status: int, rest: bytes) -> None:
        """Send an answer.

        Args:
            status: its status.
            rest: all that follows the Date line (``http.answers``).
        """
        server = self.server
        self._transport.write((server.starts.get(status) or server.start_of(status)) + rest)

    def send_continue(self) -> None:
        """Tell a client that waits for it (``Expect``) to send its body; HTTP/1.0 can't wait."""
        if self._parser.get_http_version() != "1.0":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def close(self) -> None:
        """Close the connection once its answers are sent and the client has had time to read.

        Closing at once would reset the connection if the client still sends, and the client would
        lose the answer (RFC 9112, 9.6).
        """
        if not self._closing:
            self._closing = True
            self.keep_alive = False
            self._skipped = 0
            self._await_client()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    # --- from the server ----------------------------------------------------------------------

    def time_out(self) -> None:
        """Close the connection because its deadline has passed."""
        if self._paused or self._closing or self._transport.is_closing():
            # The last: it closes once its answers are sent.
            self._await_reading()
        elif self._in_body:
            self.close()
        elif self.target:
            self.refuse(408)
        else:
            self._transport.close()

    def _await_reading(self) -> None:
        """Abort the connection unless its client reads the unsent answers."""
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent <= self._unsent - _LEAST_READ:
            self._unsent = unsent
            self.deadline = self.server.tick + UNREAD_SECONDS
        else:
            self.abort()

    def _await_client(self) -> None:
        """Start the time limit of what is expected from the client now."""
        if self._paused:
            return
        if self._closing:
            seconds = _SKIPPING_SECONDS
        else:
            seconds = HEAD_SECONDS if self.target else IDLE_SECONDS
        self.deadline = self.server.tick + seconds

    def leave(self) -> None:
        """Close once there is no request in progress."""
        if not self.target and not self._in_body:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # --- from the transport -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        self._transport = cast(asyncio.Transport, transport)
        if transport.get_extra_info("socket").family == socket.AF_UNIX:
            self.peer = UNIX_PEER
        else:
            # None of a connection that was reset before it was accepted.
            peer = transport.get_extra_info("peername")
            self.peer = peer[0] if peer else ""
        self.server.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection."""
        self.server.closed(self)
        self._unparsed.clear()

    def pause_writing(self) -> None:
        """Read nothing more while the client doesn't read its answers."""
        self._paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline = self.server.tick + UNREAD_SECONDS
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._paused = False
        self._unsent = _UNKNOWN
        self._await_client()
        self._parse_next()

    def eof_received(self) -> bool:
        """The client sends no more: its answers are still sent; half a request has none."""
        return False

    def data_received(self, data: bytes) -> None:
        """Parse *data*, in pieces if it is large."""
        if len(data) <= self.piece_bytes and not self._unparsed and not self._held:
            self._parse(data)
            return
        self._transport.pause_reading()
        idle = not self._unparsed
        for start in range(0, len(data), self.piece_bytes):
            self._unparsed.append(data[start : start + self.piece_bytes])
        if idle:
            self._parse_next()

    def hold(self) -> None:
        """Parse nothing more until ``release``. A client that disconnects is still noticed."""
        self._held = True

    def release(self) -> None:
        """Parse on after ``hold``."""
        if self._held:
            self._held = False
            self._parse_next()

    def _parse_next(self) -> None:
        if self._paused or self._transport.is_closing():
            return
        if not self._unparsed:
            # Even if held: otherwise it wouldn't be noticed that the client disconnects.
            self._transport.resume_reading()
        elif not self._held:
            self._parse(self._unparsed.popleft())
            self.server.call_soon(self._parse_next)

    def _parse(self, data: bytes) -> None:
        if self._closing:
            self._skip(len(data))
            return
        rest = data
        while rest:
            try:
                self._feed(rest)
                rest = b""
            except HttpParserUpgrade as upgrade:
                rest = b"" if self._closing else self._ignore_upgrade(rest[upgrade.args[0] :])
            except HttpParserError as error:
                self._parsing_failed(error)
                rest = b""
        if self.target and not self._closing:
            self._count(len(data))

    def _parsing_failed(self, error: HttpParserError) -> None:
        if self._closing:
            return
        if isinstance(error, HttpParserCallbackError):
            log_unhandled(error.__context__ or error)
            self.refuse(500)
        elif self._in_body:
            self.skipped_body_broken()
        else:
            self.refuse(400)

    def _count(self, arrived: int) -> None:
        """Count what has arrived of a request that is still incomplete."""
        if not self._in_body and not self._field_bytes:
            self.deadline = self.server.tick + HEAD_SECONDS
        self._field_bytes += arrived
        if self._field_bytes > MOST_HEAD_BYTES:
            if self._in_body:
                self.skipped_body_broken()
            else:
                self.refuse(431)

    # --- from the parser ----------------------------------------------------------------------

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        # Fields behind a chunked body are no headers.
        if not self._in_body:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._field_bytes = 0
        if self._closing or parser.should_upgrade():
            return
        self._in_body = True
        self.keep_alive = parser.should_keep_alive()
        self.method = parser.get_method()
        if len(self.headers) > MOST_HEADERS:
            self.refuse(431)
            return
        self.head_received()

    def on_body(self, piece: bytes) -> None:
        self._field_bytes = 0
        self._skip(len(piece))

    def on_message_complete(self) -> None:
        if self._closing or not self._in_body:
            return
        if not self.keep_alive:
            self.close()
            return
        self._in_body = False
        self._skipped = 0
        self.target = b""
        self.headers = []
        self.deadline = self.server.tick + IDLE_SECONDS

    # --- framing ------------------------------------------------------------------------------

    def fault(
        self, host_lines: int, transfer_encoding: Sequence[bytes], *, plain: bool
    ) -> int | None:
        """The status for a request whose framing headers break a rule of HTTP; None if none does.

        Args:
            host_lines: the number of Host headers.
            transfer_encoding: the values of the Transfer-Encoding headers.
            plain: there is neither a Connection nor a Proxy-Connection header.
        """
        # Without those only HTTP/1.1 keeps a connection alive.
        version = "1.1" if plain and self.keep_alive else self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self.keep_alive = False
            return 505
        if host_lines > 1 or (host_lines == 0 and version == "1.1"):
            return 400
        if transfer_encoding and version == "1.0":
            # A proxy of that version finds another end (RFC 9112, 6.1).
            return 400
        if transfer_encoding and (
            len(transfer_encoding) > 1 or transfer_encoding[0].strip().lower() != b"chunked"
        ):
            return 501
        return None

    def _ignore_upgrade(self, rest: bytes) -> bytes:
        """Ignore that a request wants another protocol (RFC 9110, 7.8).

        llhttp stops behind its head. A client that would like HTTP/2 sends a body there, so the
        head is parsed once more, without the upgrade.

        Returns:
            What is parsed next.
        """
        parser = self._parser
        method = parser.get_method()
        if method == b"CONNECT":
            # For proxies. A 405 would have to name the methods that are allowed here.
            self.refuse(501)
            return b""
        version = parser.get_http_version().encode()
        lines = [method + b" " + self.target + b" HTTP/" + version]
        wished = False
        for name, value in self.headers:
            # llhttp reads both alike.
            if name.lower() in (b"connection", b"proxy-connection"):
                options = value.split(b",")
                kept = [each for each in options if each.strip().lower() != b"upgrade"]
                wished |= len(kept) < len(options)
                value = b",".join(kept)
            lines.append(name + b": " + value)
        if not wished:
            # Never parsed again and again.
            self.refuse(400)
            return b""
        self._parser = HttpRequestParser(self)
        self._feed = self._parser.feed_data
        self.target = b""
        self.headers = []
        return b"\r\n".join(lines) + b"\r\n\r\n" + rest

    def _skip(self, length: int) -> None:
        if not self._skipped and not self._paused:
            self.deadline = self.server.tick + _SKIPPING_SECONDS
        self._skipped += length
        if self._skipped > _SKIPPED_BYTES:
            if self._closing:
                self._transport.close()
            else:
                self.close()
