"""Spools: the files in which processes leave their use counts, as JSON lines.

A process locks its spool for as long as it lives. So a file that can be locked belongs to a dead
process, and is removed once its lines are folded.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from gatepass.core.observed_call import CountedCall
from gatepass.log_limit import LogLimit

#: A spool of this size is closed and a new one created, so that the old one can be removed.
ROTATE_BYTES = 1 << 20
# A process that counts nothing marks its spool this often.
_MARK_NS = 10_000_000_000
#: A spool is as old as the last flush by this much at most: a flush takes time, and a process has a
#: spool only from the flush after its first decision on.
FLUSHED_WITHIN_MS = 10_000

# The log line of a spool that can't be folded, which is read again every second.
_damage_log_limit = LogLimit()
log = logging.getLogger("gatepass.usage")


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """A line of use counts. Former releases read it as well, so it must stay as it is.

    Attributes:
        tokens: by token id: number of uses, time of the last use (Unix ms), its address (text or
            None), its permission ("" where none was asked for).
        decisions: number of decisions by reason.
    """

    tokens: dict[str, tuple[int, int, str | None, str]]
    decisions: dict[str, int]


class CallBatch(msgspec.Struct, forbid_unknown_fields=True):
    """A line of observed calls.

    It isn't part of a ``Batch``, so that a former release, which skips it, counts the use.
    """

    calls: list[CountedCall]


#: A decoded line.
Line = Batch | CallBatch

_CALLS = b'{"calls":'


class SpoolWriter:
    """Appends to this process's spool.

    Args:
        directory: of the node's spools; created with mode 0700 if absent.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None
        self._pid = 0

    def append(self, lines: bytes) -> None:
        """Append whole lines: all of them, or none.

        Raises:
            OSError: they can't be written now.
        """
        descriptor = self._spool()
        start = os.lseek(descriptor, 0, os.SEEK_END)
        try:
            written = os.write(descriptor, lines)
            if written != len(lines):
                raise OSError(28, "no space left for whole lines")
        except OSError:
            # A partial line would merge with the next one.
            with suppress(OSError):
                os.ftruncate(descriptor, start)
            raise
        if start + written >= ROTATE_BYTES:
            self.release()

    def mark(self, now_ns: int) -> None:
        """Set the spool's modification time, which appending does as well (``unreported_ms``).

        Args:
            now_ns: all decisions until then are in the spool; by the wall clock.
        """
        descriptor = self._descriptor
        if descriptor is None or self._pid != os.getpid():
            return
        with suppress(OSError):
            if now_ns - os.fstat(descriptor).st_mtime_ns >= _MARK_NS:
                os.utime(descriptor, ns=(now_ns, now_ns))

    def release(self) -> None:
        """Unlock the spool, so that it gets folded and removed."""
        # First, so that it is never closed twice: the next time it may be another file's.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self._pid == os.getpid():
            os.close(descriptor)

    def _spool(self) -> int:
        if self._descriptor is not None and self._pid == os.getpid():
            if os.fstat(self._descriptor).st_nlink:
                return self._descriptor
            # The file was removed, so nothing written to it would ever be read.
            self.release()
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / f"{os.getpid()}-{secrets.token_hex(8)}.spool"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        # Renamed only once it is locked: an unlocked spool counts as a dead process's, and would be
        # removed.
        unnamed = path.with_suffix(".new")
        descriptor = os.open(unnamed, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(path)
        except OSError:
            os.close(descriptor)
            unnamed.unlink(missing_ok=True)
            raise
        self._descriptor, self._pid = descriptor, os.getpid()
        return descriptor


class Spool(msgspec.Struct, frozen=True):
    """One spool file, to be folded.

    Attributes:
        name: identifies the file; names are never reused.
        size: length of the complete lines, in bytes.
        finished: its process has ended; once folded up to ``size`` the file may be removed.
        flushed_ns: the time of its process's last flush, by the wall clock.
    """

    path: Path
    name: str
    size: int
    finished: bool
    flushed_ns: int

    def lines(self, start: int) -> Iterator[Line]:
        """The lines from byte *start* up to ``size``, without damaged ones."""
        return self._decoded(self._read(start))

    def portion(self, start: int, most_bytes: int) -> tuple[int, list[Line]]:
        """The end offset and the lines of a part from byte *start*: at least one line, and about
        *most_bytes* at most."""
        taken: list[bytes] = []
        end = start
        for line in self._read(start):
            if taken and end + len(line) - start > most_bytes:
                break
            taken.append(line)
            end += len(line)
        return end, list(self._decoded(taken))

    def remove(self) -> None:
        """Delete the file. Call it only once the spool is finished and folded."""
        self.path.unlink(missing_ok=True)

    def _read(self, start: int) -> list[bytes]:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(self.size - start).splitlines(keepends=True)

    def _decoded(self, lines: Iterable[bytes]) -> Iterator[Line]:
        for line in lines:
            try:
                if line.startswith(_CALLS):
                    yield msgspec.json.decode(line, type=CallBatch)
                else:
                    yield msgspec.json.decode(line, type=Batch)
            except (msgspec.DecodeError, UnicodeDecodeError):
                if _damage_log_limit.left_out("line") is not None:
                    log.warning("skipping a damaged line of %s", self.name)


def by_kind(lines: Iterable[Line]) -> tuple[list[Batch], list[CountedCall]]:
    """The use counts and the observed calls in *lines*."""
    batches: list[Batch] = []
    calls: list[CountedCall] = []
    for line in lines:
        if isinstance(line, Batch):
            batches.append(line)
        else:
            calls += line.calls
    return batches, calls


def spools(directory: Path) -> Iterator[Spool]:
    """The node's spool files, of running and ended processes."""
    if not directory.is_dir():
        return
    for path in sorted(directory.glob("*.spool")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            # The lock is tried before the length is read: a process that has ended can't append.
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                finished = True
            except BlockingIOError:
                finished = False
            state = os.fstat(descriptor)
            content = os.pread(descriptor, state.st_size, 0)
            complete = content.rfind(b"\n") + 1
        finally:
            os.close(descriptor)
        yield Spool(
            path=path,
            name=path.stem,
            size=complete,
            finished=finished,
            flushed_ns=state.st_mtime_ns,
        )


def unreported_ms(found: Iterable[Spool], now_ns: int) -> int:
    """For how long decisions may have been made that aren't in the spools *found*.

    Args:
        found: all spools of a node or service.
        now_ns: by the wall clock, before they were looked for.
    """
    flushed = [spool.flushed_ns for spool in found if not spool.finished]
    return (now_ns - min([now_ns, *flushed])) // 1_000_000 + FLUSHED_WITHIN_MS
