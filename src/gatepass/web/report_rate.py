"""Limits how often credentials can be reported: each report is many look-ups by anyone.

Counted by all processes of a node in one small file. The database gets no count, since nothing may
be written there for a text that is no credential.
"""

import fcntl
import os
import time
from collections.abc import Callable
from hashlib import blake2b
from math import ceil
from pathlib import Path
from struct import Struct

from gatepass.core.errors import TooManyAttempts, Unavailable

MOST_FROM_ADDRESS = 10
MOST_IN_ALL = 60
WINDOW_S = 60.0

# A report that was admitted: when, and a digest of where from.
_entry = Struct("<d8s")
_FREE = _entry.pack(0.0, b"")
_EMPTY = _FREE * MOST_IN_ALL


class ReportRate:
    """The reports of the last minute, to any process of the node.

    Args:
        path: the file; created if absent.
        now: a monotonic clock that all processes share, in seconds.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now

    def admit(self, source: str | None) -> None:
        """Count a report from *source*, as ``throttling.source_of`` writes it.

        Raises:
            TooManyAttempts: there were too many, from there or in all.
            Unavailable: the file can't be written.
        """
        try:
            # Opened each time: the lock is that of an open file, so it also holds threads apart.
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._count(file, blake2b(repr(source).encode(), digest_size=8).digest())
            finally:
                os.close(file)
        except OSError as error:
            raise Unavailable(f"Reports can't be counted: {error.strerror}.") from None

    def _count(self, file: int, source: bytes) -> None:
        content = os.pread(file, len(_EMPTY), 0)
        if len(content) < len(_EMPTY):
            content = _EMPTY
            os.pwrite(file, content, 0)
        now = self._now()
        # Later times are from before the machine was restarted.
        admitted = {
            place: (at, each)
            for place, (at, each) in enumerate(_entry.iter_unpack(content))
            if now - WINDOW_S < at <= now
        }
        times = sorted(at for at, _ in admitted.values())
        own = sorted(at for at, each in admitted.values() if each == source)
        first = None
        if len(own) >= MOST_FROM_ADDRESS:
            first = own[0]
        elif len(times) >= MOST_IN_ALL:
            first = times[0]
        if first is not None:
            wait_s = max(1, ceil(first + WINDOW_S - now))
            raise TooManyAttempts(wait_s, "Too many reports.")
        # Refused reports don't count, so that there is a free place.
        place = next(place for place in range(MOST_IN_ALL) if place not in admitted)
        os.pwrite(file, _entry.pack(now, source), place * _entry.size)
