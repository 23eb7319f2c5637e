"""The shared map: which generation of the grants counts, and until when a copy is vouched for.

A file of eight-byte words beside the database, mapped by every process of the node. Words are
written and read whole (one aligned native word each), so a reader needs no lock.

* **Generation**: eight random bytes, written before and after each commit by whoever commits. A
  reader takes the generation, the rows and the decision, then the generation again, and repeats if
  it moved. Random rather than counted: two writers can't write the same value by accident, and a
  writer that died half-way leaves nothing to be off by one.
* **Vouching** (only where the grants are a copy): the stamp says until when the copy may be
  believed, by two clocks and for one boot. Another boot, an empty map, or either clock past it:
  stale. A stamp therefore survives neither a reboot nor a resumed snapshot of the machine.
"""

import hashlib
import mmap
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatepass.core.errors import Misconfigured

SIZE = 4096
GENERATION, _BOOT, _VOUCHED_BOOT_NS, _VOUCHED_WALL_MS, _LATEST_MS, _REVISION, _TAG = range(1, 8)

#: The position of a map whose copy has never reached any.
NOWHERE = (0, "0" * 16)

# Counts while the machine sleeps, which CLOCK_MONOTONIC doesn't on Linux: a laptop or a frozen
# virtual machine that wakes up must not believe an old copy.
BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SharedMap:
    """The words every process of a node shares. Made once, mode 0600, never truncated or replaced.

    Args:
        path: the map's file, beside the database and named after it.

    Raises:
        Misconfigured: the file belongs to someone else, or isn't a plain file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = open_own_file(path)
        try:
            if os.fstat(descriptor).st_size < SIZE:
                # Only ever extends, and two processes doing so at once do the same thing.
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
        """Whether the file that is mapped still is the one whose name it has."""
        return in_place(self.path, self._inode)

    # --- generation ---------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """The generation that counts now."""
        return self.words[GENERATION]

    def move(self) -> None:
        """Write a new generation: whatever was read or cached under the old one is void."""
        self.words[GENERATION] = secrets.randbits(64) or 1

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Wrap a commit: the generation moves before it and after it, also when it fails."""
        self.move()
        try:
            yield
        finally:
            self.move()

    # --- vouching -----------------------------------------------------------------------------

    def vouch(self, asked_boot_ns: int, asked_wall_ms: int, staleness_ms: int) -> None:
        """Let the copy count until *staleness_ms* after the primary was asked.

        Args:
            asked_boot_ns: BOOT_CLOCK in nanoseconds, read before the question was sent; so time
                lost on the way counts against the copy.
            asked_wall_ms: the wall clock in milliseconds at that moment.
            staleness_ms: MAX_STALENESS in milliseconds.
        """
        words = self.words
        if words[_BOOT] != self._boot:
            words[_VOUCHED_BOOT_NS] = 0
            words[_BOOT] = self._boot
        # What ran out before this machine was started is no number for a word.
        words[_VOUCHED_WALL_MS] = max(asked_wall_ms + staleness_ms, 0)
        words[_VOUCHED_BOOT_NS] = max(asked_boot_ns + staleness_ms * 1_000_000, 0)

    def withdraw(self) -> None:
        """Stop vouching at once: the primary no longer knows this copy's history."""
        self.words[_VOUCHED_BOOT_NS] = 0

    def vouched(self, boot_ns: int, wall_ms: int) -> bool:
        """Whether the copy counts at this moment of both clocks."""
        words = self.words
        return (
            boot_ns < words[_VOUCHED_BOOT_NS]
            and wall_ms < words[_VOUCHED_WALL_MS]
            and words[_BOOT] == self._boot
        )

    def vouched_until_boot_ns(self) -> int:
        """When the stamp runs out, by BOOT_CLOCK in ns; 0 if there is none of this boot."""
        words = self.words
        until = words[_VOUCHED_BOOT_NS]
        return until if words[_BOOT] == self._boot else 0

    # --- what has been reached ----------------------------------------------------------------

    @property
    def revision(self) -> int:
        """The revision the copy has reached."""
        return self.words[_REVISION]

    @property
    def position(self) -> tuple[int, str]:
        """The (revision, tag) the copy has reached.

        A stamp that was read *before* it vouches for this position or an earlier one: whoever
        writes the two writes the position first.
        """
        return self.words[_REVISION], f"{self.words[_TAG]:016x}"

    def reached(self, revision: int, tag: str) -> None:
        """Write the position that the copy has reached, before it is vouched for."""
        self.words[_TAG] = int(tag, 16)
        self.words[_REVISION] = revision

    @property
    def latest_ms(self) -> int:
        """The latest Unix time in milliseconds that any process of this node has seen."""
        return self.words[_LATEST_MS]

    def saw(self, now_ms: int) -> None:
        """Keep the latest time seen, so that a later start can tell a clock that was set back."""
        if now_ms > self.words[_LATEST_MS]:
            self.words[_LATEST_MS] = now_ms


def open_own_file(path: Path) -> int:
    """Open a file beside the database for reading and writing; made once, mode 0600.

    Raises:
        Misconfigured: it belongs to someone else, isn't a plain file (a symbolic link would lead a
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
    """What tells a file from one that has replaced it."""
    return state.st_dev, state.st_ino


def in_place(path: Path, known: tuple[int, int]) -> bool:
    """Whether *path* still names the file *known* (an ``inode``)."""
    try:
        return inode(os.stat(path)) == known
    except OSError:
        return False


def boot_word() -> int:
    """Eight bytes that name this boot of this machine; never zero, which is an empty map's."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        # Elsewhere the moment of booting serves, to ten seconds (the wall clock is adjusted).
        text = str(int((time.time() - time.clock_gettime(BOOT_CLOCK)) / 10))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) or 1
