"""This node's copy of the grants, where the registry is on PostgreSQL: kept current by one of the
node's processes, read by all."""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gatepass.node.reporting import registration_of
from gatepass.registry.actor import Subject
from gatepass.registry.grants import history
from gatepass.registry.replication.postgresql_feed import DatabaseFeed
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.revisions import Position
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.verify.freshness import in_place, inode
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.database_follower import Follower
from gatepass.verify.replica.grant_copy import open_copy

#: How long a request waits for this node's copy to reach the change it made.
CONFIRM_SECONDS = 2.0
_RETRY_SECONDS = 1.0

_log = logging.getLogger("gatepass.node.copying")


class Copying:
    """Keeps the copy in *file*.

    Args:
        clock: of this process.
    """

    def __init__(self, settings: Settings, file: GrantFile, clock: Clock) -> None:
        self._settings = settings
        self._file = file
        self._clock = clock

    def make(self) -> None:
        """Make an empty copy if there is none: readers open it read-only.

        Raises:
            OSError, sqlite3.Error: it can't be made.
        """
        if not self._file.path.exists():
            # What isn't found in an empty copy isn't unknown: nobody vouches for it.
            self._file.shared.withdraw()
        open_copy(self._file.path).close()

    def run(self, database: Database, running: Callable[[], bool]) -> None:
        """Follow for as long as *running*, whatever happens to the copy or the database."""

        def parted(copy: Position, there: Position) -> None:
            registration = registration_of(self._settings)
            node = Subject("node", registration.id, registration.name)
            with database.auxiliary_write(self._clock.now()) as write:
                history.report_divergence(write, node, copy, there)

        staleness_ms = self._settings.max_staleness * 1000
        follower = Follower(self._file, self._clock, staleness_ms, parted)
        while running():
            try:
                self._follow(follower, running)
            except Exception as error:
                _log.warning("the copy of the grants can't be made: %s", type(error).__name__)
                time.sleep(_RETRY_SECONDS)

    def _follow(self, follower: Follower, running: Callable[[], bool]) -> None:
        self.make()
        known = inode(os.stat(self._file.path))
        feed = DatabaseFeed(self._settings.database_url, registration_of(self._settings))
        # A copy in place of one that was removed or replaced is another node's: it has an id of
        # its own.
        follower.follow(feed, lambda: running() and in_place(self._file.path, known))

    def confirm(self, revision: int) -> bool:
        """Wait until this node decides by *revision*: read your own change. False after two
        seconds: the change stands, but this node doesn't decide by it yet."""
        deadline = time.monotonic() + CONFIRM_SECONDS
        while self._file.shared.revision < revision:
            if time.monotonic() > deadline:
                # The command line on a machine without a running node: nothing decides here.
                return _nobody_follows(self._file.lock_path)
            time.sleep(0.002)
        return True


def _nobody_follows(lock_path: Path) -> bool:
    """Whether no process of this node holds the lock, so that none can be following."""
    with suppress(OSError):
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(descriptor)
    return False
