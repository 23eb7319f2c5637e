"""Answers as bytes."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"
_is_line: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\0\r\n]*\r\n").fullmatch


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()


def header_line(name: bytes, value: bytes) -> bytes:
    """A header line.

    Raises:
        ValueError: it would be more than one line, or its name is no name.
    """
    line = b"%s: %s\r\n" % (name, value)
    if _is_line(line) is None:
        raise ValueError("a header must be one line")
    return line


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header lines; names in lower case, as in HTTP/2.

    Raises:
        ValueError: as ``header_line``.
    """
    return b"".join(
        header_line(name.lower().encode("ascii"), value.encode("latin-1"))
        for name, value in headers
    )


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
