"""The node's own place among those who decide: it says how far it has come, and completes receipts.

A duty of the process that holds the node's lock, in a thread of its own: whatever becomes of the
database, following and vouching wait for none of this.
"""

import logging
import socket
import time
from collections.abc import Callable
from importlib.metadata import version
from math import inf
from urllib.parse import urlsplit

from gatepass.registry.replication import liveness, receipts
from gatepass.registry.replication.liveness import Registration
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.revisions import Position
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.identity import identity

#: A node reports so often, and whenever its copy has moved on; in a burst of changes one report is
#: for many of them.
_REPORT_SECONDS = 5.0
_QUICKEST_SECONDS = 0.05
#: Where it decides by the database itself it has little to say but that it is there.
_QUICKEST_ON_ONE_MACHINE_SECONDS = 1.0
_LOOK_SECONDS = 0.025
# Others' confirmations complete receipts too.
_ROUND_SECONDS = 1.0
_ROUND_WHILE_OPEN_SECONDS = 0.25
_TIDY_SECONDS = 3600.0

_log = logging.getLogger("gatepass.node.reporting")


def registration_of(settings: Settings) -> Registration:
    """Who this node is.

    Raises:
        OSError: its grant file isn't there yet.
    """
    return Registration(
        id=identity(settings.grant_path),
        kind="node",
        name=socket.gethostname(),
        version=version("gatepass"),
        address=_address(settings),
        key_id=None,
        limits=None,
        staleness_ms=settings.max_staleness * 1000,
    )


class Reporting:
    """Reports for one node.

    Args:
        file: the node's grant file.
        clock: of this process.
    """

    def __init__(
        self, settings: Settings, database: Database, file: GrantFile, clock: Clock
    ) -> None:
        self._settings = settings
        self._database = database
        self._file = file
        self._clock = clock
        self._met = False
        self._reported: object = None
        self._reported_at = -inf
        self._tidied_at = -inf
        self._open = False
        # Well within the time after which it would count as out of reach.
        self._every = min(_REPORT_SECONDS, settings.max_staleness / 2)
        self._quickest = _QUICKEST_SECONDS
        if settings.is_sqlite:
            self._quickest = _QUICKEST_ON_ONE_MACHINE_SECONDS

    def run(self, running: Callable[[], bool]) -> None:
        """Report for as long as *running*; what fails is tried again."""
        quiet = False
        while running():
            began = time.monotonic()
            try:
                self.round()
                quiet = False
            except Exception as error:
                if not quiet:
                    _log.warning("reporting is interrupted: %s", type(error).__name__)
                quiet = True
            self._wait(began, running)

    def round(self) -> None:
        """Report if there is reason to, and complete what is ready.

        Raises:
            Unavailable: the database can't be used.
        """
        now, place = time.monotonic(), self._place()
        if place != self._reported or now - self._reported_at >= self._every:
            # At the start what is known of us may be of the version before.
            if not (self._met and self._report()):
                with self._database.auxiliary_write(self._clock.now()) as write:
                    liveness.register(write, registration_of(self._settings))
                self._met = True
                self._report()
            self._reported, self._reported_at = place, now
        self._complete()
        if now - self._tidied_at >= _TIDY_SECONDS:
            with self._database.auxiliary_write(self._clock.now()) as write:
                receipts.prune(write)
                liveness.forget(write)
            self._tidied_at = now

    def _report(self) -> bool:
        position, vouched_at = self._reached()
        with self._database.auxiliary_write(self._clock.now()) as write:
            if self._settings.is_sqlite:
                position, vouched_at = revisions.latest(write), write.now
            known = liveness.report(write, identity(self._file.path), position, vouched_at)
        return known

    def _place(self) -> object:
        """What moves when there is something new to report."""
        shared = self._file.shared
        return shared.generation if self._settings.is_sqlite else shared.position

    def _reached(self) -> tuple[Position, int]:
        """How far the copy is, and when it was last vouched for (Unix ms)."""
        shared = self._file.shared
        # The stamp first: it vouches for what the position then says, or for less.
        until_ns = shared.vouched_until_boot_ns()
        position = shared.position
        if not until_ns:
            return position, 0
        asked_ns = until_ns - self._settings.max_staleness * 1_000_000_000
        ago_ms = (self._clock.boot_ns() - asked_ns) // 1_000_000
        return position, self._clock.now() - ago_ms

    def _complete(self) -> None:
        with self._database.read(self._clock.now()) as reading:
            self._open = receipts.open_count(reading) > 0
            to_do = self._open and receipts.any_to_do(reading)
        while to_do:
            with self._database.auxiliary_write(self._clock.now()) as write:
                # Now that it is our turn to write.
                write.now = self._clock.now()
                to_do = receipts.complete(write) > 0

    def _wait(self, began: float, running: Callable[[], bool]) -> None:
        """Until it is time again, or the copy has moved on, or *running* says no."""
        every = _ROUND_WHILE_OPEN_SECONDS if self._open else _ROUND_SECONDS
        while running():
            passed = time.monotonic() - began
            moved = passed >= self._quickest and self._place() != self._reported
            if passed >= every or moved:
                return
            time.sleep(_LOOK_SECONDS)


def _address(settings: Settings) -> str:
    """Where the node itself is reached: what it listens on, or the public address where it
    listens on every one."""
    if settings.host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound
        return urlsplit(settings.public_url).netloc
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"
