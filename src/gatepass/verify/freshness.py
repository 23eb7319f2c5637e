"""The shared map: the generation of the grants, a copy's lease, the installation's public URL.

A file of eight-byte words beside the database, mapped by every process of the node. Each is one
aligned native word, read and written atomically, so a reader needs no lock.

* **Generation**: eight random bytes that a writer replaces before and after each commit. A reader
  reads the generation, the rows, decides, reads the generation again, and repeats if it changed.
  Random rather than counted: two writers can't write the same value by accident, and a writer that
  died half-way leaves no counter off by one.
* **Public URL**: the installation's ``PUBLIC_URL``, for processes that don't read its settings.
  Its text takes more than a word: a reader compares it with its digest, which is one.
* **Lease** (only where the grants are a copy): until when the copy is fresh, by two clocks and for
  one boot. The copy is stale after another boot, with an empty map, or once either clock is past
  the end. So a lease survives neither a reboot nor a machine that is resumed from a snapshot.
"""

import hashlib
import mmap
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatepass.core.errors import Misconfigured, Unavailable

SIZE = 4096
GENERATION, _BOOT, _LEASE_BOOT_NS, _LEASE_WALL_MS, _LATEST_MS, _REVISION, _TAG = range(1, 8)
_URL_DIGEST = 8
# The text of the public URL, in bytes from the start.
_URL_AT, _URL_END = 1024, 1536

# Visible ASCII: followers repeat in headers what a server named as its URL.
_is_url = re.compile(rf"https?://[!-~]{{1,{_URL_END - _URL_AT - 10}}}").fullmatch

#: The position in the map of a copy that was never filled.
NO_POSITION = (0, "0" * 16)

# Counts while the machine sleeps, which CLOCK_MONOTONIC doesn't on Linux: a laptop or a frozen
# virtual machine that wakes up must not trust an old copy.
BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SharedMap:
    """The words that a node's processes share.

    The file is created once, with mode 0600, and never truncated or replaced.

    Args:
        path: the map's file, beside the database and named after it.

    Raises:
        Misconfigured: the file belongs to another user, or isn't a plain file.
    """

    # What was read of the public URL: its digest, 0 for none, and the text.
    _url: tuple[int, str | None] = (0, None)

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = open_own_file(path)
        try:
            if os.fstat(descriptor).st_size < SIZE:
                # Only ever extends, so two processes may do it at once.
                os.ftruncate(descriptor, SIZE)
            self._mmap = mmap.mmap(descriptor, SIZE)
            self._inode = inode(os.fstat(descriptor))
        except OSError as error:
            raise Misconfigured(f"{path} can't be used: {error.strerror}") from error
        finally:
            os.close(descriptor)
        self.words = memoryview(self._mmap).cast("Q")
        self._boot = boot_word()

    def in_place(self) -> bool:
        """Whether the map's path still names the mapped file."""
        return in_place(self.path, self._inode)

    # --- generation ---------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """The current generation."""
        return self.words[GENERATION]

    def change_generation(self) -> None:
        """Write a new generation, which invalidates all that was read under the previous one."""
        self.words[GENERATION] = secrets.randbits(64) or 1

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Wrap a commit: change the generation before and after it, also when it fails."""
        self.change_generation()
        try:
            yield
        finally:
            self.change_generation()

    # --- lease --------------------------------------------------------------------------------

    def renew_lease(self, asked_boot_ns: int, asked_wall_ms: int, staleness_ms: int) -> None:
        """Make the copy fresh until *staleness_ms* after the primary was asked.

        Args:
            asked_boot_ns: BOOT_CLOCK in nanoseconds, read before the primary was asked. So time
                lost on the way shortens the lease.
            asked_wall_ms: the wall clock in milliseconds, read at the same time.
            staleness_ms: MAX_STALENESS in milliseconds.
        """
        words = self.words
        if words[_BOOT] != self._boot:
            words[_LEASE_BOOT_NS] = 0
            words[_BOOT] = self._boot
        # A lease that ended before this machine started would be negative, which a word can't hold.
        words[_LEASE_WALL_MS] = max(asked_wall_ms + staleness_ms, 0)
        words[_LEASE_BOOT_NS] = max(asked_boot_ns + staleness_ms * 1_000_000, 0)

    def end_lease(self) -> None:
        """Make the copy stale at once: the primary no longer knows the copy's history."""
        self.words[_LEASE_BOOT_NS] = 0

    def is_fresh(self, boot_ns: int, wall_ms: int) -> bool:
        """Whether the lease still runs by both clocks."""
        words = self.words
        return (
            boot_ns < words[_LEASE_BOOT_NS]
            and wall_ms < words[_LEASE_WALL_MS]
            and words[_BOOT] == self._boot
        )

    def require_fresh(self, boot_ns: int, wall_ms: int) -> None:
        """Raise Unavailable (``stale``) unless ``is_fresh``."""
        if not self.is_fresh(boot_ns, wall_ms):
            raise Unavailable("the lease of this copy of the grants has ended", reason="stale")

    def lease_until_boot_ns(self) -> int:
        """When the lease ends, by BOOT_CLOCK in nanoseconds; 0 if this boot has none."""
        words = self.words
        until = words[_LEASE_BOOT_NS]
        return until if words[_BOOT] == self._boot else 0

    # --- public URL ---------------------------------------------------------------------------

    @property
    def public_url(self) -> str | None:
        """The installation's ``PUBLIC_URL``; None while no process has written it."""
        digest = self.words[_URL_DIGEST]
        if digest != self._url[0]:
            text = self.words.cast("B")[_URL_AT:_URL_END].tobytes().rstrip(b"\0")
            if _text_digest(text) != digest:
                # Another process is writing it.
                return None
            self._url = (digest, text.decode("ascii"))
        return self._url[1]

    def set_public_url(self, url: str) -> None:
        """Write the installation's ``PUBLIC_URL``. One that isn't a URL is left out."""
        if not _is_url(url) or url == self.public_url:
            return
        text = url.encode("ascii")
        self.words[_URL_DIGEST] = 0
        self.words.cast("B")[_URL_AT:_URL_END] = text.ljust(_URL_END - _URL_AT, b"\0")
        self.words[_URL_DIGEST] = _text_digest(text)
        # Answers that are remembered may name the former one.
        self.change_generation()

    # --- position -----------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The copy's revision."""
        return self.words[_REVISION]

    @property
    def position(self) -> tuple[int, str]:
        """The copy's (revision, tag).

        The follower writes the position first, then the lease. So a lease that was read *before*
        the position covers this position or an earlier one.
        """
        return self.words[_REVISION], f"{self.words[_TAG]:016x}"

    def set_position(self, revision: int, tag: str) -> None:
        """Write the copy's position; call it before the lease is renewed."""
        self.words[_TAG] = int(tag, 16)
        self.words[_REVISION] = revision

    @property
    def latest_ms(self) -> int:
        """The latest Unix time in milliseconds that any process of this node has seen."""
        return self.words[_LATEST_MS]

    def record_time(self, now_ms: int) -> None:
        """Store the latest time seen, so that a later start detects a clock that was set back."""
        if now_ms > self.words[_LATEST_MS]:
            self.words[_LATEST_MS] = now_ms


def open_own_file(path: Path) -> int:
    """Open a file beside the database for reading and writing; create it with mode 0600.

    Raises:
        Misconfigured: it belongs to another user, isn't a plain file (a symbolic link would lead a
            privileged process to any file), or can't be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Misconfigured(f"{path} can't be opened: {error.strerror}") from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
        os.close(descriptor)
        raise Misconfigured(f"{path} belongs to another user; run as its owner")
    return descriptor


def inode(state: os.stat_result) -> tuple[int, int]:
    """Device and inode, which differ between a file and its replacement."""
    return state.st_dev, state.st_ino


def in_place(path: Path, known: tuple[int, int]) -> bool:
    """Whether *path* still names the file *known* (from ``inode``)."""
    try:
        return inode(os.stat(path)) == known
    except OSError:
        return False


def _text_digest(text: bytes) -> int:
    """Eight bytes that tell a text from others; never zero, as in an empty map."""
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) or 1


def boot_word() -> int:
    """Eight bytes that identify this boot of this machine; never zero, as in an empty map."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        # Without boot_id: the time of booting, to ten seconds, as the wall clock gets adjusted.
        text = str(int((time.time() - time.clock_gettime(BOOT_CLOCK)) / 10))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) or 1
