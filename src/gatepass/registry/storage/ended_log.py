"""``ended.log``: an append-only log of revocations, kept apart from the database.

Restoring a backup would reactivate what was revoked after the backup was made. So each revocation
is also appended to a file beside the database. Restoring reads it, even if the database is lost.

A line is flushed to disk after the commit and before the request is answered. It holds no secret:
ids, times, and the user who revoked.
"""

import logging
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from gatepass.core.errors import Misconfigured
from gatepass.log_limit import LogLimit
from gatepass.registry.storage.fsync import fsync

FILE_NAME = "ended.log"

#: The audit actions that revoke their subject.
REVOCATION_ACTIONS = frozenset(
    {
        "access_token.deactivated",
        "admin_key.deactivated",
        "authentication.deactivated",
        "authentication.ended",
        "company.deactivated",
        "invitation.deactivated",
        "owner.deactivated",
        "portal_session.deactivated",
        "user.deactivated",
        "verifier_key.deactivated",
    }
)

_log = logging.getLogger("gatepass.ended_log")


class Revocation(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The revocation of one record.

    Attributes:
        at: Unix ms.
        kind: ``access_token``, ``admin_key``, ``authentication``, ``company``, ``identity``,
            ``invitation``, ``owner``, ``portal_session``, ``user``, ``verifier_key``.
        id: of the record.
        revision: of the change that revoked it.
        by: id of the user who revoked it, or the cause; None for the command line and the system.
        by_name: the name of that actor.
    """

    at: int
    kind: str
    id: str
    revision: int
    by: str | None = None
    by_name: str = ""


class EndedLog:
    """The log in the file *path*, which the first revocation creates with mode 0600.

    All processes of the machine append to it. A line starts with its line break instead of ending
    with it. So a line torn before it, by a full disk or a power cut, doesn't damage it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending: list[Revocation] = []
        self._lock = threading.Lock()
        self._log_limit = LogLimit()

    def append(self, revocations: Sequence[Revocation] = ()) -> None:
        """Append *revocations* and those that failed before, and flush them to disk.

        A full disk doesn't undo a deactivation. The failure is logged, and the next call retries;
        call it without arguments to retry alone.
        """
        if not revocations and not self._pending:
            return
        with self._lock:
            self._pending.extend(revocations)
            try:
                self._write(b"".join(b"\n" + _encode(each) for each in self._pending))
            except (OSError, Misconfigured) as error:
                why = getattr(error, "strerror", None) or error
                if self._log_limit.left_out(str(why)) is not None:
                    _log.error(
                        "%d revocations can't be written to %s, retrying: %s",
                        len(self._pending),
                        self.path,
                        why,
                    )
            else:
                self._pending.clear()

    def read(self) -> "EndedLogReader":
        """A reader of the log; it is empty if there is no file."""
        return EndedLogReader(self.path, required=False)

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
            fsync(self.path.parent)


class EndedLogReader:
    """Iterates over the revocations of a log, in order.

    Attributes:
        path: of the log.
        torn: number of torn lines that were skipped; complete after the iteration.
        latest_revision: the highest revision so far; complete after the iteration.

    Raises:
        Misconfigured: during the iteration: the file can't be read; or it is *required*, and is
            missing or isn't a log. Its revocations must not be skipped silently.
    """

    def __init__(self, path: Path, *, required: bool = True) -> None:
        self.torn = 0
        self.latest_revision = 0
        self.path = path
        self._required = required

    def __iter__(self) -> Iterator[Revocation]:
        any_valid = False
        try:
            mode = os.stat(self.path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                # Opening a pipe could block for ever.
                raise Misconfigured(f"{self.path} must be a plain file")
            with self.path.open("rb") as lines:
                for line in lines:
                    if not line.strip():
                        continue
                    try:
                        revocation = _decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError):
                        self.torn += 1
                        continue
                    any_valid = True
                    self.latest_revision = max(self.latest_revision, revocation.revision)
                    yield revocation
        except OSError as error:
            if self._required or not isinstance(error, FileNotFoundError):
                raise Misconfigured(f"{self.path} can't be read: {error.strerror}") from error
        if self._required and self.torn and not any_valid:
            # The wrong file: restoring with it would reactivate what was revoked.
            raise Misconfigured(f"{self.path} isn't an ended.log: no line of it can be read")


def _open(path: Path) -> tuple[int, bool]:
    """A descriptor for appending, and whether the file is new."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor, new = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        descriptor, new = os.open(path, flags), False
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
        os.close(descriptor)
        raise Misconfigured("it must be a plain file of this user")
    return descriptor, new


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Revocation).decode
