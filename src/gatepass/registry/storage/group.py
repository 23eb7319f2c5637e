"""Group commit: changes of several threads in one transaction.

A commit waits for the disk, and on PostgreSQL for round trips and replicas. Changes that wait for
the lock of all changes meanwhile share the next commit. Each has a revision of its own, and one
that fails is undone alone.
"""

import secrets
import time
from concurrent.futures import Future
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from gatepass.core.errors import Unavailable

#: The PostgreSQL notification channel that wakes followers when a write commits.
CHANGED_CHANNEL = "gatepass_changed"
#: A group ends once it has this many changes, or has been open for this long: those in it wait for
#: its commit, and other processes for its lock.
MOST_CHANGES = 32
LONGEST_S = 0.05

# Also returns the primary's time at the start of the statement, before it waited for the lock.
_TAKE_REVISION = {
    dialect: text(
        "UPDATE revision SET number = number + 1, tag = :tag WHERE id = 1 "  # noqa: S608 - the times below
        f"RETURNING number, {told_ms}"
    )
    for dialect, told_ms in (
        ("sqlite", "NULL"),
        ("postgresql", "(extract(epoch FROM statement_timestamp()) * 1000)::bigint"),
    )
}
_SET_REVISION = text("UPDATE revision SET number = :number, tag = :tag WHERE id = 1")
_KEEP = "INSERT INTO revisions (number, tag, at) VALUES (:number, :tag, :at)"
_KEEP_REVISION = {
    "sqlite": text(_KEEP),
    # Wakes followers when it commits: once, however many revisions there are.
    "postgresql": text(f"{_KEEP} RETURNING pg_notify('{CHANGED_CHANNEL}', '')"),
}


class Group:
    """A transaction of one change or several, one after another. Only one thread at a time uses it.

    Attributes:
        session: of the transaction.
        closing: whether no further change may join.
        outcome: done once it has committed, or failed as a whole.
    """

    def __init__(self, engine: Engine) -> None:
        self.session = Session(engine)
        self.closing = False
        self.outcome: Future[None] = Future()
        self._dialect = engine.dialect.name
        self._asked = time.monotonic()
        self._primary_ms: int | None = None
        self._revisions: list[dict[str, Any]] = []
        self._next = 0
        self._tag = ""

    @property
    def revision(self) -> tuple[int, str]:
        """The number and tag of the last complete change."""
        last = self._revisions[-1]
        return last["number"], last["tag"]

    @property
    def empty(self) -> bool:
        """Whether no change of it is complete."""
        return not self._revisions

    def begin(self) -> tuple[int, int | None]:
        """Begin a change: the first takes the lock of all changes, the others a savepoint.

        Returns:
            Its revision, and the primary's time, Unix ms; None on SQLite.
        """
        self._tag = secrets.token_hex(8)
        if self.empty:
            taken = self.session.execute(_TAKE_REVISION[self._dialect], {"tag": self._tag})
            self._next, self._primary_ms = taken.one()
            return self._next, self._primary_ms
        self._execute(f"SAVEPOINT {self._savepoint}")
        primary_ms = self._primary_ms
        if primary_ms is not None:
            primary_ms += round((time.monotonic() - self._asked) * 1000)
        return self._next, primary_ms

    def complete(self, now: int, *, last: bool) -> None:
        """End the change that was begun; it commits with the group.

        Args:
            last: whether the group shall be committed at once.
        """
        self._revisions.append({"number": self._next, "tag": self._tag, "at": now})
        self._next += 1
        open_for = time.monotonic() - self._asked
        self.closing = last or len(self._revisions) >= MOST_CHANGES or open_for >= LONGEST_S

    def undo(self) -> None:
        """Undo the change that was begun, and no other."""
        if self.empty:
            self.closing = True
            return
        try:
            self._execute(f"ROLLBACK TO SAVEPOINT {self._savepoint}")
        except Exception as error:
            # The connection is lost, or SQLite rolled everything back, as on a full disk.
            self.closing = True
            unavailable = Unavailable("The database can't be used right now.")
            unavailable.__cause__ = error
            self.outcome.set_exception(unavailable)

    def prepare(self) -> None:
        """Store the revisions; the commit follows."""
        if len(self._revisions) > 1:
            number, tag = self.revision
            self.session.execute(_SET_REVISION, {"number": number, "tag": tag})
        self.session.execute(_KEEP_REVISION[self._dialect], self._revisions)

    @property
    def _savepoint(self) -> str:
        # A name of its own: undoing must never reach back to an earlier change's savepoint.
        return f"change_{len(self._revisions)}"

    def _execute(self, statement: str) -> None:
        self.session.connection().exec_driver_sql(statement)
