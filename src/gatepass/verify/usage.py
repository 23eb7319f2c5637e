"""Use counts: counted in memory, spooled to a file per process every two seconds.

The hot path only updates a dictionary. A thread appends the counts as JSON lines. The process that
holds the node's lock adds each line to the registry once (``registry.tokens.usage``). A killed
process loses the counts that it had not spooled: those of two seconds at most, never a token.

A process locks its spool file for as long as it lives. So a file that can be locked belongs to a
dead process, and is removed once its lines are folded.
"""

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from gatepass.core.credentials import ADMIN_KEY, LOGIN_TOKEN, PORTAL_SESSION
from gatepass.core.decision import Decision
from gatepass.core.networks import format_address
from gatepass.core.reason import Reason
from gatepass.log_limit import LogLimit

#: Tokens are counted in so many dictionaries. One for all would take milliseconds to grow, and a
#: decision waits for that.
PARTS = 64
#: Tokens counted in each between two flushes; the uses of any further ones count only as decisions.
MOST_IN_PART = 3_000
#: Remembered decisions with uses that weren't flushed; those of any more count likewise.
_MOST_AGAIN = 200_000
#: Tokens in one line. Formatting a line takes about as long as a few decisions; they wait for it.
LINE_TOKENS = 256
#: A spool of this size is closed and a new one created, so that the old one can be removed.
ROTATE_BYTES = 1 << 20
# A process that counts nothing marks its spool this often.
_MARK_NS = 10_000_000_000
#: A spool is as old as the last flush by this much at most: a flush takes time, and a process has a
#: spool only from the flush after its first decision on.
FLUSHED_WITHIN_MS = 10_000
# Releases the interpreter's lock, which requests wait for.
_PAUSE_SECONDS = 0.000_05
# The use of these is counted with the decisions alone.
_NO_TOKENS = (LOGIN_TOKEN, PORTAL_SESSION, ADMIN_KEY)

# Bound once: an enumeration looks up its members at each use.
_ALLOWED = Reason.allowed

_log = logging.getLogger("gatepass.usage")
# A spool that can't be folded is read again every second.
_damage_log_limit = LogLimit()


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a spool.

    Attributes:
        tokens: by token id: number of uses, time of the last use (Unix ms), its address (text or
            None), its permission ("" where none was asked for).
        decisions: number of decisions by reason.
    """

    tokens: dict[str, tuple[int, int, str | None, str]]
    decisions: dict[str, int]


class Use(msgspec.Struct, gc=False):
    """Equal decisions about equal calls.

    Attributes:
        token: the token's id, of an allowed call.
        address, permission: of the call.
        reason: of the decision.
        count: how often it was decided. Only grows, so that a race between threads can lose a
            count and never invents one.
        flushed: how many of them were flushed.
        at: when last, in Unix ms.
    """

    token: str
    address: bytes | None
    permission: str | None
    reason: Reason
    count: int = 0
    flushed: int = 0
    at: int = 0


class _Counted(msgspec.Struct, gc=False):
    """The uses of a token: how many, when last (Unix ms), its address (packed), its permission.

    Not a tuple: thousands of those would be garbage-collected, for milliseconds at a time.
    """

    count: int
    at: int
    address: bytes | None
    permission: str | None

    def as_text(self) -> tuple[int, int, str | None, str]:
        """As in a ``Batch``."""
        address = self.address
        return (
            self.count,
            self.at,
            None if address is None else format_address(address),
            self.permission or "",
        )


#: Counts by token id.
_Part = dict[str, _Counted]
_Parts = tuple[_Part, ...]


class Usage:
    """Counts the decisions of this process. ``note`` is for the hot path, the rest for a thread.

    Args:
        directory: of the node's spools; created with mode 0700 if absent.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tokens = _parts()
        self._decisions: dict[str, int] = {}
        # Those with counts that weren't flushed.
        self._again: list[Use] = []
        self._descriptor: int | None = None
        self._pid = 0
        self._log_limit = LogLimit()

    def note(self, decision: Decision, now: int) -> None:
        """Count one decision made at *now* (Unix ms). Concurrent threads may lose a count, never
        invent one."""
        grant = decision.grant
        if decision.reason is _ALLOWED and grant is not None:
            # Only the reported facts of the last use: a decision would keep its grant in memory.
            tokens, call = _part_of(self._tokens, grant.id), decision.call
            seen = tokens.get(grant.id)
            if seen is not None:
                seen.count += 1
                seen.at = now
                seen.address = call.address
                seen.permission = call.permission or call.route
                return
            if len(tokens) < MOST_IN_PART:
                tokens[grant.id] = _Counted(1, now, call.address, call.permission or call.route)
                return
        decisions = self._decisions
        reason = decision.reason.value
        decisions[reason] = decisions.get(reason, 0) + 1

    def note_again(self, use: Use, now: int) -> None:
        """Count one more decision like those of *use*. It costs less than ``note``."""
        use.at = now
        count = use.count = use.count + 1
        if count == use.flushed + 1:
            if len(self._again) < _MOST_AGAIN:
                self._again.append(use)
            else:
                use.flushed = count
                self._count(use.reason.value, 1)

    def flush(self) -> None:
        """Append the counts since the last flush to this process's spool.

        A full disk loses nothing: the counts are kept for the next flush. The spool's modification
        time says that all decisions until then are in it (``unreported_ms``).
        """
        now_ns = time.time_ns()
        # Another thread may be about to count in these; a count that comes too late is lost.
        tokens, self._tokens = self._tokens, _parts()
        decisions, self._decisions = self._decisions, {}
        again, self._again = self._again, []
        self._add(again, tokens, decisions)
        decisions = decisions.copy()
        while (part := _take(tokens)) or decisions:
            if uses := sum(counted.count for counted in part.values()):
                decisions["allowed"] = decisions.get("allowed", 0) + uses
            by_id = {
                token: counted.as_text()
                for token, counted in part.items()
                if not token.startswith(_NO_TOKENS)
            }
            try:
                self._append(msgspec.json.encode(Batch(by_id, decisions)) + b"\n")
            except OSError as error:
                if self._log_limit.left_out(error.errno) is not None:
                    _log.warning("use counts can't be spooled now: %s", error.strerror)
                for reason, count in decisions.items():
                    self._count(reason, count - (uses if reason == "allowed" else 0))
                self._keep(part, tokens)
                return
            decisions = {}
            time.sleep(_PAUSE_SECONDS)
        self._mark(now_ns)

    def _mark(self, now_ns: int) -> None:
        """Set the modification time of the spool; appending to it does so, too."""
        descriptor = self._descriptor
        if descriptor is None or self._pid != os.getpid():
            return
        with suppress(OSError):
            if now_ns - os.fstat(descriptor).st_mtime_ns >= _MARK_NS:
                os.utime(descriptor, ns=(now_ns, now_ns))

    def _keep(self, part: _Part, rest: _Parts) -> None:
        """Count for the next flush what couldn't be spooled."""
        while part:
            for token, counted in part.items():
                later = _part_of(self._tokens, token).setdefault(token, counted)
                if later is not counted:
                    later.count += counted.count
            time.sleep(_PAUSE_SECONDS)
            part = _take(rest)

    def _add(self, again: list[Use], tokens: _Parts, decisions: dict[str, int]) -> None:
        """Add what *again* counted since the last flush to the counts by token and by reason."""
        for number, use in enumerate(again):
            if number % LINE_TOKENS == 0:
                time.sleep(_PAUSE_SECONDS)
            count = use.count
            more, use.flushed = count - use.flushed, count
            if use.count != count:
                # Counted meanwhile, by a thread that took it for one of the list.
                self._again.append(use)
            if use.reason is not _ALLOWED:
                decisions[use.reason.value] = decisions.get(use.reason.value, 0) + more
            elif more:
                part = _part_of(tokens, use.token)
                counted = part.get(use.token)
                if counted is None:
                    part[use.token] = _Counted(more, use.at, use.address, use.permission)
                    continue
                counted.count += more
                if use.at >= counted.at:
                    counted.at = use.at
                    counted.address, counted.permission = use.address, use.permission

    def _count(self, reason: str, more: int) -> None:
        if more:
            self._decisions[reason] = self._decisions.get(reason, 0) + more

    def close(self) -> None:
        """Flush, and unlock the spool so that it gets folded and removed."""
        self.flush()
        self._release()

    def _append(self, lines: bytes) -> None:
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
            self._release()

    def _spool(self) -> int:
        if self._descriptor is not None and self._pid == os.getpid():
            if os.fstat(self._descriptor).st_nlink:
                return self._descriptor
            # The file was removed, so nothing written to it would ever be read.
            self._release()
        self.directory.mkdir(mode=0o700, exist_ok=True)
        path = self.directory / f"{os.getpid()}-{secrets.token_hex(8)}.spool"
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

    def _release(self) -> None:
        # First, so that it is never closed twice: the next time it may be another file's.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None and self._pid == os.getpid():
            os.close(descriptor)


def _parts() -> _Parts:
    return tuple({} for _ in range(PARTS))


def _part_of(parts: _Parts, token: str) -> _Part:
    return parts[hash(token) % PARTS]


def _take(parts: _Parts) -> _Part:
    """Some tokens, for a line; removed from *parts*, so that they are freed a few at a time."""
    taken: _Part = {}
    for part in parts:
        while part and len(taken) < LINE_TOKENS:
            token, counted = part.popitem()
            taken[token] = counted
    return taken


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

    def batches(self, start: int) -> Iterator[Batch]:
        """The batches from byte *start* up to ``size``, without damaged lines."""
        return self._batches(self._lines(start))

    def portion(self, start: int, most_bytes: int) -> tuple[int, list[Batch]]:
        """The end offset and the batches of some lines from byte *start*: at least one line, and
        about *most_bytes* at most."""
        taken: list[bytes] = []
        end = start
        for line in self._lines(start):
            if taken and end + len(line) - start > most_bytes:
                break
            taken.append(line)
            end += len(line)
        return end, list(self._batches(taken))

    def _lines(self, start: int) -> list[bytes]:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(self.size - start).splitlines(keepends=True)

    def _batches(self, lines: Iterable[bytes]) -> Iterator[Batch]:
        for line in lines:
            try:
                yield msgspec.json.decode(line, type=Batch)
            except (msgspec.DecodeError, UnicodeDecodeError):
                if _damage_log_limit.left_out("line") is not None:
                    _log.warning("skipping a damaged line of %s", self.name)

    def remove(self) -> None:
        """Delete the file. Call it only once the spool is finished and folded."""
        self.path.unlink(missing_ok=True)


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
