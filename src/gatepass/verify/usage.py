"""Who used what, counted in memory and spooled to a file of the process's own every two seconds.

The hot path only touches a dictionary. A thread appends what was counted as one JSON line; whoever
holds the node's lock folds the lines into the registry, each once (``registry.tokens.usage``). A
killed process loses what it had not yet spooled: two seconds of counts at most, never a token.

A spool file is locked by its process for as long as that lives; so a file whose lock can be had
belongs to the dead, and is removed once it is folded.
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

from gatepass.core.credentials import LOGIN_TOKEN
from gatepass.core.decision import Decision
from gatepass.core.networks import format_address
from gatepass.core.reason import Reason

FLUSH_SECONDS = 2.0
#: Tokens counted between two flushes; past it further tokens wait for the next.
MOST_TOKENS = 200_000
#: Tokens in one line: lines are what is folded, and sent, as a whole.
LINE_TOKENS = 2_000
#: A spool this long is closed and a new one begun, so that it can be removed.
ROTATE_BYTES = 1 << 20
# Putting this many into words takes about as long as a few decisions.
_AT_A_STRETCH = 64
_PAUSE_SECONDS = 0.000_05

#: How often, when last (Unix ms), from which address (packed), for which permission.
_Use = tuple[int, int, bytes | None, str | None]

# Bound once: an enumeration looks its members up anew at each use.
_ALLOWED = Reason.allowed

_log = logging.getLogger("gatepass.usage")


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a spool.

    Attributes:
        tokens: by token id: how often allowed, when last (Unix ms), from which address (text or
            None), for which permission ("" where none was asked for).
        decisions: by reason: how many.
    """

    tokens: dict[str, tuple[int, int, str | None, str]]
    decisions: dict[str, int]


class Usage:
    """Counts decisions of this process. ``note`` is for the hot path, the rest for a thread.

    Args:
        directory: where the node's spools lie; made if absent, mode 0700.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tokens: dict[str, _Use] = {}
        self._decisions: dict[str, int] = {}
        self._descriptor: int | None = None
        self._pid = 0

    def note(self, decision: Decision, now: int) -> None:
        """Count one decision made at *now* (Unix ms). Two threads at once can lose a count, never
        make one up."""
        grant = decision.grant
        if decision.reason is _ALLOWED and grant is not None:
            # Taken once: a flush in between swaps it, and what was seen in the one must not be
            # counted on in the other.
            tokens = self._tokens
            # Of the last use only what is told of it: a decision would keep its grant in memory.
            call = decision.call
            seen = tokens.get(grant.id)
            if seen is not None:
                tokens[grant.id] = (
                    seen[0] + 1,
                    now,
                    call.address,
                    call.permission or call.route,
                )
                return
            if len(tokens) < MOST_TOKENS:
                tokens[grant.id] = (1, now, call.address, call.permission or call.route)
                return
        decisions = self._decisions
        reason = decision.reason.value
        decisions[reason] = decisions.get(reason, 0) + 1

    def flush(self) -> None:
        """Append what was counted since the last flush to this process's spool.

        A disk that is full loses nothing yet: the counts are kept and tried again.
        """
        tokens, self._tokens = self._tokens, {}
        decisions, self._decisions = self._decisions, {}
        # Another thread may still hold the dictionaries it was about to count in.
        tokens, decisions = tokens.copy(), decisions.copy()
        if not tokens and not decisions:
            return
        allowed = decisions.get("allowed", 0) + sum(counted[0] for counted in tokens.values())
        lines = [Batch({}, {**decisions, "allowed": allowed} if allowed else decisions)]
        for number, (token, counted) in enumerate(tokens.items()):
            if number % _AT_A_STRETCH == 0:
                # Lets go of the interpreter's lock: requests wait for it meanwhile.
                time.sleep(_PAUSE_SECONDS)
            if not token.startswith(LOGIN_TOKEN):
                if len(lines[-1].tokens) == LINE_TOKENS:
                    lines.append(Batch({}, {}))
                lines[-1].tokens[token] = _in_words(*counted)
        try:
            self._append(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        except OSError as error:
            _log.warning("use can't be spooled now: %s", error.strerror)
            for token, counted in tokens.items():
                later = self._tokens.get(token)
                self._tokens[token] = (
                    counted if later is None else (counted[0] + later[0], *later[1:])
                )
            for reason, count in decisions.items():
                self._decisions[reason] = self._decisions.get(reason, 0) + count

    def close(self) -> None:
        """Flush, and give the spool up to be folded and removed."""
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
            # Half a line must not glue itself to the next one.
            with suppress(OSError):
                os.ftruncate(descriptor, start)
            raise
        if start + written >= ROTATE_BYTES:
            self._release()

    def _spool(self) -> int:
        if self._descriptor is not None and self._pid == os.getpid():
            if os.fstat(self._descriptor).st_nlink:
                return self._descriptor
            # Someone removed it: nobody would ever read what is written there.
            self._release()
        self.directory.mkdir(mode=0o700, exist_ok=True)
        path = self.directory / f"{os.getpid()}-{secrets.token_hex(8)}.spool"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        # It gets its name once it is locked: without a lock it would look like a dead process's,
        # and be removed under our hands.
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
        if self._descriptor is not None and self._pid == os.getpid():
            os.close(self._descriptor)
        self._descriptor = None


def _in_words(
    count: int, at: int, address: bytes | None, permission: str | None
) -> tuple[int, int, str | None, str]:
    return count, at, None if address is None else format_address(address), permission or ""


class Spool(msgspec.Struct, frozen=True):
    """One spool file as a folder sees it.

    Attributes:
        name: names the file for good (names are never used again).
        size: whole lines up to here, in bytes.
        finished: its process is gone; once folded up to ``size`` it may be removed.
    """

    path: Path
    name: str
    size: int
    finished: bool

    def batches(self, start: int) -> Iterator[Batch]:
        """The batches from byte *start* up to ``size``; a damaged line is skipped."""
        return self._batches(self._lines(start))

    def portion(self, start: int, most_bytes: int) -> tuple[int, list[Batch]]:
        """Some batches from byte *start* on, and where they end: at least a line's, about
        *most_bytes* at most."""
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
                _log.warning("skipping a damaged line of %s", self.name)

    def remove(self) -> None:
        """Delete the file; call it only when it is finished and folded."""
        self.path.unlink(missing_ok=True)


def spools(directory: Path) -> Iterator[Spool]:
    """The node's spool files, of living and dead processes."""
    if not directory.is_dir():
        return
    for path in sorted(directory.glob("*.spool")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            # Whether the owner is gone is asked before the length is taken: it can't write after.
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                finished = True
            except BlockingIOError:
                finished = False
            size = os.fstat(descriptor).st_size
            content = os.pread(descriptor, size, 0)
            whole = content.rfind(b"\n") + 1
        finally:
            os.close(descriptor)
        yield Spool(path=path, name=path.stem, size=whole, finished=finished)
