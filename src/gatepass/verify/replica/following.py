"""``Verifier.follow``: a service's own copy of the grants, kept current over HTTP by one of its
processes and read by all.

**Processes.** Whoever has the lock file follows; the others try for it all the time, so that one
that died is replaced within a second or two.

**Forks.** A lock belongs to the open file, which a fork inherits: a child that kept it would hold
the lock without following. So a child closes what it inherited, of lock and connections, and begins
for itself. Nothing of SQLite crosses a fork (``forks``): what a follower has open is closed before.

**Files.** Should they be removed under a running service, each process notices within a second, and
all begin anew with new ones.
"""

import json
import logging
import os
import random
import re
import socket
import sqlite3
import ssl
import stat
import threading
import time
import weakref
from collections.abc import Collection
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from threading import current_thread
from typing import TypeVar

from gatepass.core.errors import GatepassError, Misconfigured, Unavailable
from gatepass.core.permissions import is_permission, is_wildcard
from gatepass.core.routes import Routes
from gatepass.verify import forks
from gatepass.verify.catalogue import read_catalogue
from gatepass.verify.clock import Clock
from gatepass.verify.decider import Decider
from gatepass.verify.first_copy import FIRST_COPY_SECONDS, decides
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.replica.frames import Opening
from gatepass.verify.replica.grant_copy import Position, open_copy
from gatepass.verify.replica.http_feed import VERSION, FeedServer, Refused, Stream
from gatepass.verify.replica.identity import identity
from gatepass.verify.replica.maintenance import Rounds
from gatepass.verify.replica.reporting import Reporter
from gatepass.verify.replica.streamed_copy import CopyRemoved, StreamedCopy
from gatepass.verify.usage import Usage

#: The copy's name in its directory; not a node's, should someone point at a data directory.
FILE_NAME = "followed.db"
_LOCK_SECONDS = 0.25
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
#: Heartbeats in a row that don't vouch before another server is looked for.
_MOST_LAPSES = 3
#: A trouble that lasts is told again after this long.
_TELL_AGAIN_SECONDS = 60.0
_CLOSE_SECONDS = 2.0
#: Changes come twenty times a second at most.
_REACHED_PAUSE_SECONDS = 0.005
_MOST_NAMED = 200

_log = logging.getLogger("gatepass.follower")

_Decider = TypeVar("_Decider", bound=Decider)


def follow(
    made: type[_Decider],
    url: str,
    *,
    key: str,
    directory: str | Path,
    catalogue: str | Path | None,
    companies: Collection[str],
    permissions: Collection[str],
    wait: float | None,
    cafile: str | Path | None,
    ssl_context: ssl.SSLContext | None,
    allow_http: bool,
) -> "tuple[_Decider, Following]":
    """A *made* on a followed copy, and what follows: see ``Verifier.follow``."""
    server = FeedServer(url, key, context=ssl_context, cafile=cafile, allow_http=allow_http)
    limits = _limits(companies, permissions)
    routes = Routes(()) if catalogue is None else read_catalogue(catalogue).routes
    path = own_directory(Path(directory).absolute()) / FILE_NAME
    file = GrantFile(path, _scope(limits))
    _make_copy(path)
    usage = Usage(file.use_directory)
    clock = Clock(file.shared.latest_ms)
    decider = made(file, clock, routes, copy=True, counting=usage)
    rounds = Rounds(decider, usage)
    following = Following(
        decider, server, limits, rounds, FIRST_COPY_SECONDS if wait is None else 0.0
    )
    following.start()
    deadline = time.monotonic() + (wait or 0.0)
    while time.monotonic() < deadline and not decides(decider):
        time.sleep(0.01)
    return decider, following


def _scope(limits: list[tuple[str, str]]) -> str:
    return json.dumps(limits) if limits else ""


class Following:
    """What one process does about a copy: follow, or be ready to.

    Args:
        decider: whose copy it is; everything ends when nobody has it any more.
        limits: what the feed is asked to be limited to, as (name, value) pairs.
        rounds: what else is done for the decider.
        patience: seconds for which the first checks in each process may wait for a copy.
    """

    def __init__(
        self,
        decider: Decider,
        server: FeedServer,
        limits: list[tuple[str, str]],
        rounds: Rounds,
        patience: float,
    ) -> None:
        self._decider = weakref.ref(decider)
        self._server = server
        self._limits = limits
        self._scope = _scope(limits)
        self._rounds = rounds
        self._patience = patience
        self._clock = decider.clock
        self._path = decider.file.path
        self._troubles = _Troubles(server)
        # Held while SQLite is at work and while the lock is opened; and by who forks.
        self._at_rest = threading.Lock()
        self._open(decider.file)
        forks.see_to(self)

    def start(self) -> None:
        """Begin, unless the process is yet to fork."""
        self._rounds.start()
        decider = self._decider()
        if decider is not None and forks.begun():
            self._begin(decider)

    def close(self) -> None:
        """End it: another process may follow from now on."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.close()
        self._reporter.close()
        for thread in (self._thread, self._reporting):
            if thread is not None and thread.is_alive() and thread is not current_thread():
                thread.join(_CLOSE_SECONDS)
        self._rounds.close()

    # --- forks ------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Leave nothing of SQLite's to the fork, and open nothing it wouldn't know of."""
        self._at_rest.acquire()
        self._copy.let_go()

    def after_fork(self) -> None:
        """Go on."""
        self._at_rest.release()

    def forked(self) -> None:
        """Begin anew, in the child."""
        decider = self._decider()
        if self._lock is not None:
            self._lock.close()
        if self._stream is not None:
            self._stream.abandon()
        self._reporter.abandon()
        if decider is not None and not self._closed.is_set():
            self._open(decider.file)
            self._begin(decider)

    # --- following --------------------------------------------------------------------------------

    def _open(self, file: GrantFile) -> None:
        self._file = file
        self._lock: NodeLock | None = None
        self._stream: Stream | None = None
        self._copy = StreamedCopy(file, self._clock, self._scope, self._at_rest)
        self._reporter = Reporter(self._server.line(), file.use_directory)
        self._reporting: threading.Thread | None = None
        self._pause = _SHORTEST_PAUSE_SECONDS
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="gatepass_following")

    def _begin(self, decider: Decider) -> None:
        decider.first_copy_by = time.monotonic() + self._patience
        self._thread.start()

    def _running(self) -> bool:
        return not self._closed.is_set() and self._decider() is not None

    def _run(self) -> None:
        while self._running():
            try:
                if not self._has_lock():
                    self._closed.wait(_LOCK_SECONDS)
                    continue
                self._follow()
            except Exception as error:
                if self._running():
                    self._troubles.tell(error)
                    if not isinstance(error, Unavailable):
                        # Not where a fork merely broke it off.
                        self._expect_no_copy()
                if isinstance(error, CopyRemoved):
                    # Nobody must take the next copy's stamp for one of the file they still read.
                    self._file.shared.withdraw()
                    with suppress(OSError):
                        self._file.shared.path.unlink()
                # A disk's error can outlast a connection.
                self._copy.close()
                # Another process may have a better key, or reach the server.
                self._give_up_lock()
            # Not all followers of a server that comes back at the same moment.
            self._closed.wait(self._pause * random.uniform(0.5, 1))  # noqa: S311 - no secret is made of it
            self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._closed.set()
        self._reporter.close()
        self._copy.close()
        self._give_up_lock()

    def _expect_no_copy(self) -> None:
        """Let nobody wait for a server that is away."""
        decider = self._decider()
        if decider is not None:
            decider.first_copy_by = 0.0

    def _has_lock(self) -> bool:
        """Whether it is this process that follows."""
        self._look_after_files()
        if self._lock is None:
            with self._at_rest:
                # A fork in the midst of this would inherit a descriptor that nobody knows of.
                self._lock = NodeLock(self._file.lock_path)
        return self._lock.take()

    def _follow(self) -> None:
        """Follow one stream to its end."""
        here = self._copy.begin()
        node = identity(self._path)
        self._stream = stream = self._server.stream(self._query(node, here))
        try:
            lapses = 0
            for frame in stream.frames():
                if not self._running():
                    break
                there = self._copy.take(frame)
                if isinstance(frame, Opening):
                    _log.info("following %s (%s)", self._server.origin, frame.version)
                if there is None:
                    continue
                self._pause = _SHORTEST_PAUSE_SECONDS
                self._report(node, there)
                lapses = 0 if self._vouched() else lapses + 1
                if lapses == _MOST_LAPSES:
                    raise Refused("the server can't vouch for what it sends", 200)
                if not lapses:
                    self._troubles.over()
                if not self._in_place():
                    break
                # A server that has nothing to say says so twice a second; one that says it
                # without a pause must not keep a core busy.
                self._closed.wait(_REACHED_PAUSE_SECONDS)
        finally:
            self._stream = None
            stream.close()

    def _query(self, node: str, here: Position | None) -> list[tuple[str, str]]:
        name = re.sub("[^!-~]", "-", socket.gethostname())[:253] or "unnamed"
        query = [("node", node), ("name", name), ("version", VERSION)]
        if here is not None:
            query += [("revision", str(here[0])), ("tag", here[1])]
        return query + self._limits

    def _vouched(self) -> bool:
        return self._file.shared.vouched(self._clock.boot_ns(), self._clock.wall_ms())

    def _report(self, node: str, there: Position) -> None:
        self._reporter.reached(node, there)
        if self._reporting is None:
            self._reporting = threading.Thread(
                target=self._reporter.run, daemon=True, name="gatepass_reporting"
            )
            self._reporting.start()

    # --- files ------------------------------------------------------------------------------------

    def _in_place(self) -> bool:
        return self._file.shared.in_place() and (self._lock is None or self._lock.in_place())

    def _look_after_files(self) -> None:
        """Open the files anew if somebody removed or replaced them."""
        if self._in_place():
            return
        decider = self._decider()
        if decider is None:
            return
        self._give_up_lock()
        self._copy.close()
        own_directory(self._path.parent)
        former, file = self._file, GrantFile(self._path, self._scope)
        with self._at_rest:
            _make_copy(self._path)
        self._copy = StreamedCopy(file, self._clock, self._scope, self._at_rest)
        self._file = decider.file = file
        # Who is deciding by the former file right now looks again.
        former.shared.move()
        _log.error("files of %s were removed or replaced; all begins anew", self._path)

    def _give_up_lock(self) -> None:
        # A fork in the midst of this would keep the descriptor, and with it the place.
        with self._at_rest:
            lock, self._lock = self._lock, None
            if lock is not None:
                lock.close()


class _Troubles:
    """Says what is wrong, once, and when it is over."""

    def __init__(self, server: FeedServer) -> None:
        self._server = server
        self._told = ""
        self._told_at = 0.0

    def tell(self, error: Exception) -> None:
        """Say why following is interrupted, unless that was just said."""
        text = self._sentence(error)
        if text != self._told or time.monotonic() > self._told_at + _TELL_AGAIN_SECONDS:
            self._told, self._told_at = text, time.monotonic()
            _log.error("following %s is interrupted: %s", self._server.origin, text)

    def over(self) -> None:
        """It works again."""
        if self._told:
            self._told = ""
            _log.warning("following %s again", self._server.origin)

    def _sentence(self, error: Exception) -> str:
        # What a library says may hold what was sent; only what can't hold the key is repeated.
        if isinstance(error, Refused) and error.status == 401:
            return (
                f"the verifier key {self._server.key_id} is not accepted: it was deactivated, or "
                "is another installation's"
            )
        if isinstance(error, GatepassError):
            return error.message
        if isinstance(error, sqlite3.Error):
            return f"the copy can't be written: {error}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the server's certificate isn't trusted: {error.verify_message}"
        if isinstance(error, TimeoutError):
            return "the server is silent"
        if isinstance(error, HTTPException):
            return f"the server doesn't speak HTTP as expected ({type(error).__name__})"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return type(error).__name__


def own_directory(path: Path) -> Path:
    """A directory for a copy, made if absent, for this user alone.

    Raises:
        Misconfigured: it can't be made or written, is another user's, or everybody may write there.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = path.stat()
    except FileExistsError:
        raise Misconfigured(f"{path} isn't a directory") from None
    except OSError as error:
        raise Misconfigured(f"{path} can't be made: {error.strerror}") from error
    if state.st_uid != os.geteuid():
        raise Misconfigured(f"{path} belongs to another user; give the service one of its own")
    if state.st_mode & stat.S_IWOTH:
        raise Misconfigured(f"everybody may write to {path}; give the service a directory")
    if not os.access(path, os.W_OK | os.X_OK):
        raise Misconfigured(f"{path} can't be written")
    return path


def _make_copy(path: Path) -> None:
    """Make an empty copy if there is none: readers don't make files."""
    deadline = time.monotonic() + 5
    while True:
        try:
            open_copy(path).close()
            return
        except sqlite3.OperationalError as error:
            # Another process of the service makes it at this moment.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise Misconfigured(f"{path} can't be opened: {error}") from error
            time.sleep(0.02)
        except sqlite3.Error as error:
            raise Misconfigured(f"{path} isn't a copy of grants: {error}") from error


def _limits(companies: Collection[str], permissions: Collection[str]) -> list[tuple[str, str]]:
    for names in (companies, permissions):
        if isinstance(names, str):
            raise Misconfigured("companies and permissions are lists of names")
        if len(names) > _MOST_NAMED:
            raise Misconfigured(f"at most {_MOST_NAMED} companies and permissions can be named")
    for company in companies:
        if not re.fullmatch("[0-9A-Za-z_-]{1,64}", company):
            raise Misconfigured(f"{company!r} is not a company's id")
    for permission in permissions:
        if not (is_permission(permission) or is_wildcard(permission)):
            raise Misconfigured(f"{permission!r} is not a permission such as charges:create")
    return [("company", each) for each in sorted(set(companies))] + [
        ("permission", each) for each in sorted(set(permissions))
    ]
