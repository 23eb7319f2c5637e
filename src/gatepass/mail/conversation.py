"""An SMTP conversation (RFC 5321) with limits on time and size.

A server that never ends its reply must not fill the memory, and one that sends a byte a second must
not block all other mail. ``smtplib`` limits neither.
"""

import re
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

_CONNECT_S = 10.0
_LEAVE_S = 2.0
_BLOCK = 4096
_reply_line = re.compile(rb"([2-5][0-9][0-9])(?:([- ])(.*))?", re.DOTALL).fullmatch
_enhanced_code = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)").match


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one conversation.

    Attributes:
        seconds: from the lookup of the server's name to the reply to the text. Shorter than the
            lease of a mail, so that no second process sends the same mail.
        reply_bytes: the size of all replies together.
    """

    seconds: float = 45.0
    reply_bytes: int = 65_536


class ConversationFailed(Exception):
    """The conversation failed; the message is a sentence without the server's text."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the server: its code and the text of each line."""

    code: int
    lines: tuple[str, ...]

    @property
    def enhanced_code(self) -> str:
        """The enhanced status code (RFC 3463), such as ``5.1.1``; "" if there is none."""
        found = _enhanced_code(self.lines[0])
        return found[0] if found else ""


class Conversation:
    """Commands and replies over one connection.

    Attributes:
        encrypted: whether TLS is in use.
        extensions: the server's extensions: parameters by upper-case name.
    """

    def __init__(self, host: str, port: int, limits: Limits) -> None:
        self.encrypted = False
        self.extensions: dict[str, str] = {}
        self._host = host
        self._limits = limits
        self._ends = time.monotonic() + limits.seconds
        self._read = 0
        self._unread = bytearray()
        self._step = "greeting"
        self._socket = self._connect(port)

    def greet(self, name: str) -> Reply:
        """Send EHLO, or HELO to a server that doesn't support it, and store the extensions."""
        reply = self.command(f"EHLO {name}")
        if reply.code in (500, 502):
            self.extensions = {}
            return self.command(f"HELO {name}")
        offered = (line.partition(" ") for line in reply.lines[1:])
        self.extensions = {word.upper(): rest for word, _, rest in offered}
        return reply

    def greeting(self) -> Reply:
        """Read the server's greeting."""
        return self._reply()

    def command(self, line: str | bytes, step: str = "") -> Reply:
        """Send a line and read the reply.

        Args:
            step: names the command in failures, where the line is a secret; else its first word
                does.

        Raises:
            ConversationFailed: no complete reply came within the limits.
        """
        if isinstance(line, str):
            line = line.encode()
        if b"\r" in line or b"\n" in line:
            raise ValueError("a command is one line")
        self._step = f"reply to {step or line.split()[0].decode()}"
        self._send(line + b"\r\n")
        return self._reply()

    def text(self, text: bytes) -> Reply:
        """Send a mail's text, after the reply 354 to DATA."""
        self._step = "reply to the mail"
        # A line with a single dot would end the text. Some servers take a bare CR or LF for a line
        # end and others don't, which attackers use for SMTP smuggling.
        lines = re.split(rb"\r\n|\r|\n", text.removesuffix(b"\r\n"))
        self._send(b"".join(re.sub(rb"^\.", b"..", line) + b"\r\n" for line in lines) + b".\r\n")
        return self._reply()

    def encrypt(self, tls: ssl.SSLContext) -> None:
        """Start TLS.

        Raises:
            ssl.SSLError: the server's certificate isn't valid, or it doesn't speak TLS.
            ConversationFailed: it took too long, or the connection was lost.
        """
        self._step = "part of the TLS handshake"
        # Drop unauthenticated data received before TLS (command injection).
        self._unread.clear()
        self._socket.settimeout(self._left())
        try:
            self._socket = tls.wrap_socket(self._socket, server_hostname=self._host)
        except ssl.SSLError:
            raise
        except OSError as error:
            raise self._failed(error) from None
        self.encrypted = True

    def is_on_this_machine(self) -> bool:
        """Whether the server is on this machine."""
        try:
            peer = str(self._socket.getpeername()[0])
        except OSError as error:
            raise self._failed(error) from None
        address = ip_address(peer.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)

    def leave(self) -> None:
        """Send QUIT; the reply doesn't matter."""
        self._ends = min(self._ends, time.monotonic() + _LEAVE_S)
        with suppress(ConversationFailed):
            self.command("QUIT")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _connect(self, port: int) -> socket.socket:
        try:
            found = socket.getaddrinfo(self._host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:
                raise ConversationFailed(
                    "The mail server's host name can't be resolved: no name server answers."
                ) from None
            raise ConversationFailed("The mail server's host name doesn't exist.") from None
        except (OSError, UnicodeError):
            raise ConversationFailed("The mail server's host name can't be resolved.") from None
        last: OSError = OSError()
        for family, kind, protocol, _, address in found:
            seconds = min(_CONNECT_S, self._left())
            try:
                return _connected(socket.socket(family, kind, protocol), address, seconds)
            except OSError as error:
                last = error
        if isinstance(last, ConnectionRefusedError):
            raise ConversationFailed("The mail server refuses connections.") from None
        if isinstance(last, TimeoutError):
            raise ConversationFailed("The mail server doesn't respond: connecting timed out.")
        raise ConversationFailed("The mail server can't be reached: connecting failed.")

    def _send(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                self._socket.settimeout(self._left())
                rest = rest[self._socket.send(rest) :]
        except OSError as error:
            raise self._failed(error) from None

    def _reply(self) -> Reply:
        lines: list[str] = []
        while True:
            found = _reply_line(self._line())
            if found is None:
                raise ConversationFailed("The server at this address doesn't speak SMTP.")
            lines.append((found[3] or b"").decode("ascii", "replace"))
            if found[2] != b"-":
                return Reply(int(found[1]), tuple(lines))

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            if self._read >= self._limits.reply_bytes:
                raise ConversationFailed(
                    f"The mail server said more than {self._limits.reply_bytes:,} bytes, so the "
                    "connection was closed."
                )
            self._unread += self._receive(min(_BLOCK, self._limits.reply_bytes - self._read))
        line, _, rest = self._unread.partition(b"\n")
        self._unread = rest
        return bytes(line.rstrip(b"\r"))

    def _receive(self, most: int) -> bytes:
        try:
            self._socket.settimeout(self._left())
            block = self._socket.recv(most)
        except OSError as error:
            raise self._failed(error) from None
        if not block:
            raise ConversationFailed(
                f"The mail server closed the connection before its {self._step}."
            )
        self._read += len(block)
        return block

    def _left(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise self._failed(TimeoutError())
        return left

    def _failed(self, error: OSError) -> ConversationFailed:
        if isinstance(error, TimeoutError):
            return ConversationFailed(
                f"The mail server didn't finish its {self._step} in time, so the connection was "
                f"closed after {self._limits.seconds:g} seconds."
            )
        return ConversationFailed(
            f"The connection to the mail server was lost before its {self._step}."
        )


def _connected(connection: socket.socket, address: Any, seconds: float) -> socket.socket:
    try:
        connection.settimeout(seconds)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
