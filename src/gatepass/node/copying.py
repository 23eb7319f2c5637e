"""This node's copy of the grants, where the registry is on PostgreSQL.

One of the node's processes keeps it current; all of them read it.
"""

import os
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from gatepass.core.errors import Misconfigured
from gatepass.node.reporting import registration_of
from gatepass.registry.actor import Subject
from gatepass.registry.grants import history
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.revisions import Position
from gatepass.settings import Settings
from gatepass.verify.clock import Clock
from gatepass.verify.freshness import in_place, inode
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.database_follower import Follower, NodeLock
from gatepass.verify.replica.grant_copy import make_copy

#: How long a request waits for this node's copy to reach the change it made.
CONFIRM_SECONDS = 2.0


class Copying:
    """Keeps the copy in *file*.

    Args:
        clock: of this process.

    Attributes:
        serving: whether this process decides by the copy; the command line doesn't.
    """

    def __init__(self, settings: Settings, file: GrantFile, clock: Clock) -> None:
        self._settings = settings
        self._file = file
        self._clock = clock
        self.serving = False
        # Kept from one copy to the next, so that what it has logged isn't logged again at once.
        self._follower: Follower | None = None

    def make(self) -> None:
        """Create an empty copy if there is none: readers open it read-only.

        Raises:
            OSError, Misconfigured: the copy can't be created.
        """
        if not self._file.path.exists():
            # An empty copy gets no lease: a token that it lacks may be valid.
            self._file.shared.end_lease()
        make_copy(self._file.path)

    def follow(self, database: Database, running: Callable[[], bool]) -> None:
        """Follow while *running* returns True and the copy's file is in place.

        Raises:
            OSError, Misconfigured: the copy can't be created.
        """
        # Imported here: on SQLite there is nothing to follow, and no need for the driver.
        from gatepass.registry.replication.postgresql_feed import DatabaseFeed

        self.make()
        known = inode(os.stat(self._file.path))
        if self._follower is None:
            self._follower = Follower(
                self._file,
                self._clock,
                self._settings.max_staleness * 1000,
                partial(self._note_divergence, database),
            )
        # A copy in place of one that was removed or replaced is another node's, with another id.
        feed = DatabaseFeed(self._settings.database_url, registration_of(self._settings))
        self._follower.follow(feed, lambda: running() and in_place(self._file.path, known))

    def _note_divergence(self, database: Database, copy: Position, there: Position) -> None:
        registration = registration_of(self._settings)
        node = Subject("node", registration.id, registration.name)
        with database.auxiliary_write(self._clock.now()) as write:
            history.report_divergence(write, node, copy, there)

    def confirm(self, revision: int) -> bool:
        """Wait until this node's copy has reached *revision*; False after two seconds.

        The change is committed either way.
        """
        deadline = time.monotonic() + CONFIRM_SECONDS
        while self._file.shared.revision < revision:
            if time.monotonic() > deadline:
                # The command line on a machine without a running node: no process decides here. A
                # process that serves does, also while no other holds the lock.
                return not self.serving and _is_unlocked(self._file.lock_path)
            time.sleep(0.002)
        return True


def _is_unlocked(lock_path: Path) -> bool:
    """Whether no process of this node holds the lock, and so none follows."""
    try:
        lock = NodeLock(lock_path)
    except Misconfigured:
        return False
    with closing(lock):
        return lock.acquire()
