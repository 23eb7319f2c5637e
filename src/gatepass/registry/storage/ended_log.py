"""``ended.log``: what was ended for good, kept apart from the database.

A backup is older than the database it replaces, and would bring back to life what was ended since.
So everything that ends is written down a second time, in a file beside the database that is only
ever appended to: what it names stays ended, even where the database itself is lost.

A line is written after the commit and before whoever asked is told, and is on the disk by then. It
holds no secret: ids, times, and who ended it.
"""

import logging
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from gatepass.core.errors import Misconfigured

FILE_NAME = "ended.log"

#: The events that tell of an end.
ENDINGS = frozenset(
    {
        "access_token.deactivated",
        "authentication.deactivated",
        "authentication.ended",
        "company.deactivated",
        "invitation.deactivated",
        "user.deactivated",
        "verifier_key.deactivated",
    }
)

_log = logging.getLogger("gatepass.ended_log")


class Ending(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The end of one thing.

    Attributes:
        at: Unix ms.
        kind: ``access_token``, ``authentication``, ``company``, ``invitation``, ``user``,
            ``verifier_key``.
        revision: of the change that ended it.
        by: the id of the user who did; None for the command line and the system.
        by_name: how they are called.
    """

    at: int
    kind: str
    id: str
    revision: int
    by: str | None = None
    by_name: str = ""


class EndedLog:
    """The file *path*, made with the first thing that ends, mode 0600.

    Every process of the machine appends to it. A line is written whole, begun by its line break
    rather than ended by it: whatever was torn before it, by a full disk or a power cut, stays a
    line of its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[Ending] = []
        self._turn = threading.Lock()

    def append(self, endings: Sequence[Ending] = ()) -> None:
        """Write *endings*, and what could not be written earlier; they are on the disk when this
        returns.

        A disk that is full undoes no deactivation: then it is logged, and tried again with the next
        one, or when this is called without any.
        """
        if not endings and not self._waiting:
            return
        with self._turn:
            self._waiting.extend(endings)
            try:
                self._write(b"".join(b"\n" + _encode(ending) for ending in self._waiting))
            except (OSError, Misconfigured) as error:
                _log.error(
                    "%d endings couldn't be written to %s, and are tried again: %s",
                    len(self._waiting),
                    self.path,
                    getattr(error, "strerror", None) or error,
                )
            else:
                self._waiting.clear()

    def read(self) -> "EndedLogReader":
        """What it holds so far; nothing if there is no file."""
        return EndedLogReader(self.path, needed=False)

    def _write(self, lines: bytes) -> None:
        descriptor, new = _open(self.path)
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            _sync_directory(self.path.parent)


class EndedLogReader:
    """The endings in a log, in order. Iterate it to its end; then it tells what it came across.

    Attributes:
        path: of the log.
        torn: how many lines were torn, and passed over.
        latest_revision: the highest revision it names.

    Raises:
        Misconfigured: as it is iterated: the file can't be read, or isn't there, or is something
            else, although it is *needed*. What it knows must not be passed over in silence.
    """

    def __init__(self, path: Path, *, needed: bool = True) -> None:
        self.torn = 0
        self.latest_revision = 0
        self.path = path
        self._needed = needed

    def __iter__(self) -> Iterator[Ending]:
        understood = False
        try:
            mode = os.stat(self.path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                # Of a pipe nothing might ever come.
                raise Misconfigured(f"{self.path} is no ended.log: it is no file")
            with self.path.open("rb") as lines:
                for line in lines:
                    if not line.strip():
                        continue
                    try:
                        ending = _decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        self.torn += 1
                        continue
                    understood = True
                    self.latest_revision = max(self.latest_revision, ending.revision)
                    yield ending
        except OSError as error:
            if self._needed or not isinstance(error, FileNotFoundError):
                raise Misconfigured(f"{self.path} can't be read: {error.strerror}") from error
        if self._needed and self.torn and not understood:
            # Another file that was named by mistake: with it, what had ended would come back.
            raise Misconfigured(f"{self.path} is no ended.log: no line of it can be read")


def _open(path: Path) -> tuple[int, bool]:
    """A descriptor to append with, and whether the file is new."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor, new = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        descriptor, new = os.open(path, flags), False
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
        os.close(descriptor)
        raise Misconfigured("it belongs to another user, or isn't a plain file")
    return descriptor, new


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Ending).decode
