"""``Verifier.follow``: a service's copy of the grants, followed over HTTP by one of its processes.

**Processes.** The process that holds the lock file follows. The others keep trying to acquire the
lock, so that one that died is replaced within a second or two.

**Forks.** A lock belongs to the open file, which a fork inherits: a child that kept it would hold
the lock without following. So a child closes the inherited lock and connections, and starts its
own. No SQLite connection crosses a fork (``forks``): a follower closes its connection before.

**Files.** If they are removed while the service runs, each process notices within a second, and all
start again with new files.
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
from gatepass.log_limit import LogLimit
from gatepass.verify import forks
from gatepass.verify.backoff import Backoff
from gatepass.verify.catalogue import read_catalogue
from gatepass.verify.clock import Clock
from gatepass.verify.decider import Decider
from gatepass.verify.first_copy import FIRST_COPY_SECONDS, has_copy
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.database_follower import NodeLock
from gatepass.verify.replica.frames import Opening
from gatepass.verify.replica.grant_copy import Position, make_copy
from gatepass.verify.replica.http_feed import VERSION, FeedRefused, FeedServer, Stream
from gatepass.verify.replica.identity import identity
from gatepass.verify.replica.maintenance import Maintenance
from gatepass.verify.replica.reporting import Reporter
from gatepass.verify.replica.streamed_copy import CopyRemoved, StreamedCopy
from gatepass.verify.usage import Usage

#: The copy's name in its directory; differs from a node's, in case that is a data directory.
FILE_NAME = "followed.db"
_LOCK_SECONDS = 0.25
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
#: Consecutive heartbeats that leave the copy stale before the follower reconnects.
_MOST_LAPSES = 3
_CLOSE_SECONDS = 2.0
#: Changes arrive fifty times a second at most.
_REACHED_PAUSE_SECONDS = 0.005
_MOST_NAMED = 200

_log = logging.getLogger("gatepass.follower")

_Decider = TypeVar("_Decider", bound=Decider)


def follow(
    decider_class: type[_Decider],
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
    """A decider on a followed copy, with its background tasks: see ``Verifier.follow``."""
    server = FeedServer(url, key, context=ssl_context, cafile=cafile, allow_http=allow_http)
    limits = _limits(companies, permissions)
    routes = Routes(()) if catalogue is None else read_catalogue(catalogue).routes
    path = own_directory(Path(directory).absolute()) / FILE_NAME
    file = GrantFile(path, _scope(limits))
    make_copy(path)
    usage = Usage(file.use_directory)
    clock = Clock(file.shared.latest_ms)
    decider = decider_class(
        file, clock, routes, published=catalogue is None, copy=True, usage=usage
    )
    maintenance = Maintenance(decider, usage)
    following = Following(
        decider, server, limits, maintenance, FIRST_COPY_SECONDS if wait is None else 0.0
    )
    following.start()
    deadline = time.monotonic() + (wait or 0.0)
    while time.monotonic() < deadline and not has_copy(decider):
        time.sleep(0.01)
    return decider, following


def _scope(limits: list[tuple[str, str]]) -> str:
    return json.dumps(limits) if limits else ""


class Following:
    """The background tasks of one process: it follows, or stands by for the lock.

    Args:
        decider: decides by the copy; the tasks end when it is garbage-collected.
        limits: of the copy, as query parameters of the feed.
        maintenance: of the decider; started and closed with the follower.
        first_copy_s: seconds for which the first checks in each process wait for a copy.
    """

    def __init__(
        self,
        decider: Decider,
        server: FeedServer,
        limits: list[tuple[str, str]],
        maintenance: Maintenance,
        first_copy_s: float,
    ) -> None:
        self._decider = weakref.ref(decider)
        self._server = server
        self._limits = limits
        self._scope = _scope(limits)
        self._maintenance = maintenance
        self._first_copy_s = first_copy_s
        self._clock = decider.clock
        self._path = decider.file.path
        self._outage_log = _OutageLog(server)
        # Held while SQLite is used, while the lock file is opened or closed, and during a fork.
        self._sqlite_lock = threading.Lock()
        self._prepare(decider.file)
        forks.register(self)

    def start(self) -> None:
        """Start the threads, unless uWSGI has yet to fork this process."""
        self._maintenance.start()
        decider = self._decider()
        if decider is not None and forks.may_start():
            self._start(decider)

    def close(self) -> None:
        """Stop the threads and release the lock, so that another process may follow."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.close()
        self._reporter.close()
        for thread in (self._thread, self._reporting):
            if thread is not None and thread.is_alive() and thread is not current_thread():
                thread.join(_CLOSE_SECONDS)
        self._maintenance.close()

    # --- forks ------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Close the SQLite connection, and open no file until the fork is done."""
        self._sqlite_lock.acquire()
        self._copy.close_locked()

    def after_fork(self) -> None:
        """Allow connections and files again."""
        self._sqlite_lock.release()

    def after_fork_in_child(self) -> None:
        """Close the inherited lock and connections, and start this process's own threads."""
        decider = self._decider()
        if self._lock is not None:
            self._lock.close()
        if self._stream is not None:
            self._stream.close_inherited()
        self._reporter.close_inherited()
        if decider is not None and not self._closed.is_set():
            self._prepare(decider.file)
            self._start(decider)

    # --- following --------------------------------------------------------------------------------

    def _prepare(self, file: GrantFile) -> None:
        self._file = file
        self._lock: NodeLock | None = None
        self._stream: Stream | None = None
        self._copy = StreamedCopy(file, self._clock, self._scope, self._sqlite_lock)
        self._reporter = Reporter(self._server.report_connection(), file.use_directory)
        self._reporting: threading.Thread | None = None
        self._backoff = Backoff(_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="gatepass_following")

    def _start(self, decider: Decider) -> None:
        decider.first_copy_by = time.monotonic() + self._first_copy_s
        self._thread.start()

    def _running(self) -> bool:
        return not self._closed.is_set() and self._decider() is not None

    def _run(self) -> None:
        while self._running():
            try:
                if not self._acquire_lock():
                    self._closed.wait(_LOCK_SECONDS)
                    continue
                self._follow()
            except Exception as error:
                if self._running():
                    self._outage_log.interrupted(error)
                    if not isinstance(error, Unavailable):
                        # Unavailable: a fork merely broke the stream off.
                        self._stop_waiting_for_copy()
                if isinstance(error, CopyRemoved):
                    # Other processes still read the old file: they must not take the next copy's
                    # lease for theirs.
                    self._file.shared.end_lease()
                    with suppress(OSError):
                        self._file.shared.path.unlink()
                # A connection can keep a disk's error.
                self._copy.close()
                # Another process may have a valid key, or reach the server.
                self._release_lock()
            # Jittered, so that followers don't all reconnect at once after a server's outage.
            jitter = random.uniform(0.5, 1)  # noqa: S311 - not a secret
            self._closed.wait(self._backoff.pause() * jitter)
        self._closed.set()
        self._reporter.close()
        self._copy.close()
        self._release_lock()

    def _stop_waiting_for_copy(self) -> None:
        """End the waits for a first copy: the server can't be reached."""
        decider = self._decider()
        if decider is not None:
            decider.first_copy_by = 0.0

    def _acquire_lock(self) -> bool:
        """Whether this process holds the lock, and so follows."""
        self._replace_removed_files()
        if self._lock is None:
            with self._sqlite_lock:
                # A concurrent fork would inherit a descriptor that it doesn't know to close.
                self._lock = NodeLock(self._file.lock_path)
        return self._lock.acquire()

    def _follow(self) -> None:
        """Follow one stream until it ends."""
        here = self._copy.begin()
        node = identity(self._path)
        self._stream = stream = self._server.stream(self._query(node, here))
        try:
            lapses = 0
            for frame in stream.frames():
                if not self._running():
                    break
                there = self._copy.apply(frame)
                if isinstance(frame, Opening):
                    _log.info("following %s (%s)", self._server.origin, frame.version)
                if there is None:
                    continue
                self._backoff.reset()
                self._report(node, there)
                lapses = 0 if self._is_fresh() else lapses + 1
                if lapses == _MOST_LAPSES:
                    raise FeedRefused("the server is stale itself", 200)
                if not lapses:
                    self._outage_log.recovered()
                if not self._in_place():
                    break
                # A server without changes sends two heartbeats a second; one that sends them
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

    def _is_fresh(self) -> bool:
        return self._file.shared.is_fresh(self._clock.boot_ns(), self._clock.wall_ms())

    def _report(self, node: str, there: Position) -> None:
        self._reporter.set_position(node, there)
        if self._reporting is None:
            self._reporting = threading.Thread(
                target=self._reporter.run, daemon=True, name="gatepass_reporting"
            )
            self._reporting.start()

    # --- files ------------------------------------------------------------------------------------

    def _in_place(self) -> bool:
        return self._file.shared.in_place() and (self._lock is None or self._lock.in_place())

    def _replace_removed_files(self) -> None:
        """Create and open new files if the current ones were removed or replaced."""
        if self._in_place():
            return
        decider = self._decider()
        if decider is None:
            return
        self._release_lock()
        self._copy.close()
        own_directory(self._path.parent)
        former, file = self._file, GrantFile(self._path, self._scope)
        with self._sqlite_lock:
            make_copy(self._path)
        self._copy = StreamedCopy(file, self._clock, self._scope, self._sqlite_lock)
        self._file = file
        decider.read_from(file)
        # A decision that is under way on the former file is repeated.
        former.shared.change_generation()
        _log.error("files of %s were removed or replaced; starting with new ones", self._path)

    def _release_lock(self) -> None:
        # A concurrent fork would keep the descriptor, and with it the lock.
        with self._sqlite_lock:
            lock, self._lock = self._lock, None
            if lock is not None:
                lock.close()


class _OutageLog:
    """Logs the cause of an outage once a minute, and its end."""

    def __init__(self, server: FeedServer) -> None:
        self._server = server
        self._log_limit = LogLimit()
        self._logged = False

    def interrupted(self, error: Exception) -> None:
        """Log why following is interrupted, unless the same was just logged."""
        text = self._sentence(error)
        if self._log_limit.left_out(text) is not None:
            self._logged = True
            _log.error("following %s is interrupted: %s", self._server.origin, text)

    def recovered(self) -> None:
        """Log the end of an outage that was logged."""
        if self._logged:
            self._logged = False
            _log.warning("following %s again", self._server.origin)

    def _sentence(self, error: Exception) -> str:
        # A library's message may quote the request; only texts that can't hold the key are logged.
        if isinstance(error, FeedRefused) and error.status == 401:
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
    """*path*, a directory for a copy; created if absent, readable by this user alone.

    Raises:
        Misconfigured: it can't be created or written, belongs to another user, or is writable by
            everybody.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = path.stat()
    except FileExistsError:
        raise Misconfigured(f"{path} must be a directory") from None
    except OSError as error:
        raise Misconfigured(f"{path} can't be created: {error.strerror}") from error
    if state.st_uid != os.geteuid():
        raise Misconfigured(f"{path} belongs to another user; give the service one of its own")
    if state.st_mode & stat.S_IWOTH:
        raise Misconfigured(f"{path} must not be writable by everybody")
    if not os.access(path, os.W_OK | os.X_OK):
        raise Misconfigured(f"{path} must be writable")
    return path


def _limits(companies: Collection[str], permissions: Collection[str]) -> list[tuple[str, str]]:
    for names in (companies, permissions):
        if isinstance(names, str):
            raise Misconfigured("companies and permissions must be lists of names")
        if len(names) > _MOST_NAMED:
            raise Misconfigured(f"companies and permissions must be at most {_MOST_NAMED} each")
    for company in companies:
        if not re.fullmatch("[0-9A-Za-z_-]{1,64}", company):
            raise Misconfigured(f"{company!r} must be a company's id")
    for permission in permissions:
        if not (is_permission(permission) or is_wildcard(permission)):
            raise Misconfigured(f"{permission!r} must be a permission such as charges:create")
    return [("company", each) for each in sorted(set(companies))] + [
        ("permission", each) for each in sorted(set(permissions))
    ]
