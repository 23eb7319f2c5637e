"""Background task: reports this node's replication position and completes deactivation receipts.

It runs in the process that holds the node's lock, in a separate thread: following and renewing the
lease never wait for it, even if the database doesn't answer.
"""

import logging
import socket
import time
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
from gatepass.verify.periodic_task import PeriodicTask
from gatepass.verify.replica.identity import identity

#: A node reports this often, and whenever its copy's position changes. A series of changes gets a
#: report four times a second: each is a dozen statements, which would delay the changes themselves.
_REPORT_SECONDS = 5.0
_QUICKEST_SECONDS = 0.25
#: On SQLite the node decides from the database itself, so a report is little more than a heartbeat.
_QUICKEST_ON_ONE_MACHINE_SECONDS = 1.0
_POLL_SECONDS = 0.025
# Other verifiers' acknowledgements complete receipts too.
_INTERVAL_SECONDS = 1.0
_INTERVAL_WHILE_OPEN_SECONDS = 0.25
_TIDY_SECONDS = 3600.0

_log = logging.getLogger("gatepass.node.reporting")


def registration_of(settings: Settings) -> Registration:
    """This node's registration.

    Raises:
        OSError: the grant file doesn't exist yet.
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
    """Reports for a node.

    Args:
        file: the node's grant file.
        clock: of this process.

    Attributes:
        task: reports in the background, in the process that has the node's duties.
        use_until: all calls that this node allowed up to then (Unix ms) are counted in the
            registry; None before the first counting.
    """

    def __init__(
        self, settings: Settings, database: Database, file: GrantFile, clock: Clock
    ) -> None:
        self._settings = settings
        self._database = database
        self._file = file
        self._clock = clock
        self.use_until: int | None = None
        self._met = False
        self._began_at = -inf
        self._reported: object = None
        self._reported_at = -inf
        self._tidied_at = -inf
        self._open = False
        # Well within the staleness, after which the node would count as unreachable.
        self._every = min(_REPORT_SECONDS, settings.max_staleness / 2)
        self._quickest = _QUICKEST_SECONDS
        if settings.is_sqlite:
            self._quickest = _QUICKEST_ON_ONE_MACHINE_SECONDS
        self.task = PeriodicTask(
            "reporting", self._run, _POLL_SECONDS, log=_log, failure="reporting is interrupted"
        )

    def _run(self) -> None:
        passed = time.monotonic() - self._began_at
        interval = _INTERVAL_WHILE_OPEN_SECONDS if self._open else _INTERVAL_SECONDS
        moved = passed >= self._quickest and self._place() != self._reported
        if passed >= interval or moved:
            self._began_at = time.monotonic()
            self.report_and_complete()

    def report_and_complete(self) -> None:
        """Report if the position changed or a report is due; complete receipts that are ready.

        Raises:
            Unavailable: the database can't be used.
        """
        now, place = time.monotonic(), self._place()
        if place != self._reported or now - self._reported_at >= self._every:
            # On start, register again: the registered version and address may be old.
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
        position, fresh_at = self._reached()
        with self._database.auxiliary_write(self._clock.now()) as write:
            if self._settings.is_sqlite:
                position, fresh_at = revisions.latest(write), write.now
            known = liveness.report(
                write, identity(self._file.path), position, fresh_at, self.use_until
            )
        return known

    def _place(self) -> object:
        """A value that changes whenever there is something new to report."""
        shared = self._file.shared
        return shared.generation if self._settings.is_sqlite else shared.position

    def _reached(self) -> tuple[Position, int]:
        """The copy's position, and the time from which its lease counts (Unix ms)."""
        shared = self._file.shared
        # The lease first: it covers the position that is read after it, or an earlier one.
        until_ns = shared.lease_until_boot_ns()
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


def _address(settings: Settings) -> str:
    """The node's address: the one it listens on, or the public one if it listens on all."""
    if settings.host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound
        return urlsplit(settings.public_url).netloc
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"
