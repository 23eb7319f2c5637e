"""Answers as bytes."""

from collections.abc import Iterable
from http import HTTPStatus

CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header lines; names in lower case, as in HTTP/2."""
    return "".join(f"{name.lower()}: {value}\r\n" for name, value in headers).encode("latin-1")


def rest_of(status: int, lines: bytes, body: bytes, *, head: bool = False) -> bytes:
    """All of an answer after its first lines.

    Args:
        lines: its header lines.
        head: it answers a HEAD request, and so has no body.
    """
    if status == 204:
        return lines + b"\r\n"
    length = b"content-length: %d\r\n\r\n" % len(body)
    return lines + length if head else lines + length + body
