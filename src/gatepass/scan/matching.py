"""Finds credentials in a stream of bytes, in bounded memory.

A text counts only with a right checksum, so nothing is reported by mistake, and no boundary around
it is asked for: in ``"\\ngpat_…`` of a JSON file the prefix follows a letter.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from gatepass.core.credentials import LENGTH, PREFIXES, Credential, parse

#: Reads the next bytes into the view; returns their number, 0 at the end.
Read = Callable[[memoryview], int]

_BUFFER_BYTES = 1 << 20
# In UTF-16, of either byte order, a NUL stands between any two characters.
_starts = re.compile(
    b"g(?:p(?:%b)_|\0p\0(?:%b)\0_)"
    % (
        b"|".join(prefix[2:].encode() for prefix in PREFIXES),
        b"|".join("\0".join(prefix[2:]).encode() for prefix in PREFIXES),
    )
)
# A byte less than the widest text, which is one in UTF-16: a text may begin before the end of a
# buffer by as much, and not be complete.
_OVERLAP = 2 * LENGTH - 2
# Bytes that begin no character: the second to fourth of a character in UTF-8, and in UTF-16 the
# NULs of ASCII text and the byte order mark.
_UNCOUNTED = bytes([0, *range(0x80, 0xC0), 0xFE, 0xFF])
# Also with an underscore, for a second text that begins within a malformed first.
_secrets = re.compile(rf"((?:{'|'.join(PREFIXES)})_[0-9A-Za-z]{{16}})[0-9A-Za-z_]{{38,}}")


class Match(msgspec.Struct, frozen=True):
    """A credential, and where in the stream its text begins.

    Attributes:
        line: from 1.
        column: from 1, in characters.
    """

    credential: Credential
    line: int
    column: int


class Scanner:
    """Finds credentials in streams, one stream after another, with one buffer for all."""

    def __init__(self, buffer_bytes: int = _BUFFER_BYTES) -> None:
        self._buffer = bytearray(buffer_bytes)
        self._view = memoryview(self._buffer)

    def scan(self, read: Read) -> Iterator[Match]:
        """The credentials in the stream, in order.

        The next stream may be scanned once this one is at its end, or has failed.
        """
        position = _Position()
        kept = 0
        while True:
            filled, at_end = self._fill(read, kept)
            # Texts that begin from here on may not be complete: they wait for the next bytes.
            limit = filled if at_end else filled - _OVERLAP
            passed = 0
            for start, credential in self._find(filled):
                if start >= limit:
                    break
                position.advance(self._buffer[passed:start])
                passed = start
                yield Match(credential, position.line, position.column)
            if at_end:
                return
            position.advance(self._buffer[passed:limit])
            kept = filled - limit
            self._view[:kept] = self._view[limit:filled]

    def _fill(self, read: Read, filled: int) -> tuple[int, bool]:
        """Read until the buffer is full or the stream at its end: bytes in the buffer, whether."""
        while filled < len(self._buffer):
            count = read(self._view[filled:])
            if count == 0:
                return filled, True
            filled += count
        return filled, False

    def _find(self, filled: int) -> Iterator[tuple[int, Credential]]:
        # Looking for prefixes alone, not for whole texts, no text can hide another that begins
        # within it.
        for found in _starts.finditer(self._buffer, 0, filled):
            start = found.start()
            step = 2 if self._buffer[start + 1] == 0 else 1
            text = self._buffer[start : min(start + step * (LENGTH - 1) + 1, filled)]
            if step == 2:
                if any(text[1::2]):
                    continue
                text = text[::2]
            # Any byte is a character of Latin-1; `parse` refuses those that aren't ASCII.
            credential = parse(text.decode("latin-1"))
            if credential is not None:
                yield start, credential


class _Position:
    """A line and column in a stream, counted from the bytes that have passed."""

    def __init__(self) -> None:
        self.line = 1
        self.column = 1

    def advance(self, passed: bytearray) -> None:
        newlines = passed.count(b"\n")
        if newlines:
            self.line += newlines
            self.column = 1
            passed = passed[passed.rfind(b"\n") + 1 :]
        self.column += len(passed.translate(None, _UNCOUNTED))


def without_secrets(text: str) -> str:
    """*text*, such as a file's name, with each credential's text shortened to its id."""
    return _secrets.sub(r"\1…", text)
