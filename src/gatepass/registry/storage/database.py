"""The registry's database: connections, and the three kinds of transaction.

* ``read``: a consistent look at everything.
* ``write``: what people change. Its first statement takes the revision row, which is the lock
  of all changes: so revisions commit in order without gaps, and nothing is built on an old reading.
  Never hash a password, send mail or use the network inside one.
* ``auxiliary_write``: small writes beside the grants (use, failed sign-ins). It never takes the
  revision, so counting can't hold up a deactivation.
"""

import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum, unique
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Engine, Pool, exc, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from gatepass.core.errors import Unavailable
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.storage.ended_log import Ending
from gatepass.registry.storage.engines import (
    BUSY_TIMEOUT_MS,
    CHANGING,
    READING,
    postgresql_engine,
    sqlite_engine,
    sqlite_path,
)
from gatepass.registry.storage.silent_server import patient

T = TypeVar("T")

#: PostgreSQL wakes followers through this channel when a change commits.
CHANGED_CHANNEL = "gatepass_changed"

# The primary's time comes along; the statement's, not from when it had waited for its turn.
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
_KEEP_REVISION = text("INSERT INTO revisions (number, tag, at) VALUES (:number, :tag, :at)")
_WAKE_FOLLOWERS = text(f"SELECT pg_notify('{CHANGED_CHANNEL}', '')")
_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
_WAIT_FOR_REVISION = text("SELECT number FROM revision WHERE id = 1 FOR UPDATE")
_KNOWN_REVISION = text("SELECT 1 FROM revisions WHERE number = :number AND tag = :tag")
# A role that lacks a privilege, or whose search_path leads nowhere: the server's matter, and no
# fault of what was asked.
_SET_UP_OTHERWISE = frozenset(("42501", "3F000"))
_AWAY = "The database can't be used right now."
_OUTCOME_UNKNOWN = (
    "The connection to the database was lost while the change was being saved. Look whether it was "
    "made before you repeat it."
)

_log = logging.getLogger("gatepass.database")

_abandoned: list[Pool] = []


class Database:
    """A registry on SQLite or PostgreSQL.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql://…`` as libpq reads it, several hosts
            included.
        writing: wraps the commit of a change; on SQLite it moves the grant file's generation.
        confirm: called with the revision after a change has committed, outside the transaction;
            returns whether this node decides by it.
        tolerance_ms: how far a change's time may be from the primary's clock, on PostgreSQL; None
            doesn't compare. Nodes whose clocks are apart would not agree on what has expired.
        ended: called with what a change ended for good, after it has committed and before
            ``confirm``.

    Raises:
        Misconfigured: the URL can't be read. The message doesn't repeat it: it may hold a password.
    """

    def __init__(
        self,
        url: str,
        *,
        writing: Callable[[], AbstractContextManager[None]] = nullcontext,
        confirm: Callable[[int], bool] | None = None,
        tolerance_ms: int | None = None,
        ended: Callable[[Sequence[Ending]], None] | None = None,
    ) -> None:
        self._writing = writing
        self._confirm = confirm
        self._tolerance_ms = tolerance_ms
        self._ended = ended
        #: The SQLite file, or None.
        self.path: Path | None = None
        if url.startswith("sqlite:"):
            self.dialect = "sqlite"
            self.path = sqlite_path(url)
            engine = sqlite_engine(self.path)
            self._changes: Engine = engine.execution_options(gatepass_begin="BEGIN IMMEDIATE")
            self._reads: Engine = engine
        else:
            self.dialect = "postgresql"
            engine = postgresql_engine(url)
            self._changes = engine.execution_options(gatepass_begin=CHANGING)
            self._reads = engine.execution_options(gatepass_begin=READING)
        self._engine = engine
        self._turn = threading.Lock()
        own = weakref.ref(self)

        def start_anew() -> None:
            database = own()
            if database is not None:
                database._start_anew()

        os.register_at_fork(after_in_child=start_anew)

    @contextmanager
    def read(self, now: int) -> Iterator["Reading"]:
        """A consistent reading at time *now* (Unix ms).

        Raises:
            Unavailable: the database can't be read.
        """
        with _outage_as_unavailable(), Session(self._reads) as session:
            yield Reading(session, now)

    @contextmanager
    def write(self, now: int) -> Iterator["Change"]:
        """A change at time *now* (Unix ms): it commits as a whole at the end, or not at all.

        Nothing is raised once it has committed: whether this node decides by it already is
        ``confirmed`` of what this yields.

        Raises:
            Unavailable: the database can't be written now, and nothing was changed; or the
                connection was lost at the commit, and it can't be found out what became of it
                (``outcome_unknown``).
        """
        tag = secrets.token_hex(8)
        began = time.monotonic()
        with self._session_in_turn() as session:
            take = _TAKE_REVISION[self.dialect]
            number, told_ms = session.execute(take, {"tag": tag}).one()
            self._require_time(now, told_ms, began)
            change = Change(session, now, number)
            yield change
            session.execute(_KEEP_REVISION, {"number": number, "tag": tag, "at": now})
            if self.dialect == "postgresql":
                session.execute(_WAKE_FOLLOWERS)
            self._commit(session, number, tag)
        if self._ended is not None and change.endings:
            self._ended(change.endings)
        change.confirmed = self._confirm is None or self._confirm(number)

    @contextmanager
    def auxiliary_write(self, now: int) -> Iterator["Write"]:
        """A small write at time *now* (Unix ms) that never takes the revision.

        Raises:
            Unavailable: the database can't be written now.
        """
        with self._session_in_turn() as session:
            yield Write(session, now)
            session.commit()

    @contextmanager
    def administering(self) -> Iterator[Connection]:
        """One transaction that changes the schema; one at a time, whoever asks.

        Raises:
            Unavailable: the database can't be written now.
        """
        with (
            _outage_as_unavailable(),
            self._changes.begin() as connection,
            patient(connection),
        ):
            if self.dialect == "postgresql":
                connection.execute(_LOCK, {"lock": Turn.migration.value})
            yield connection

    def close(self) -> None:
        """Close all connections that aren't in use."""
        self._engine.dispose()

    @contextmanager
    def _session_in_turn(self) -> Iterator[Session]:
        # Those who wait for SQLite's one writer try again at random moments, and with dozens of
        # threads some never hit one. So of each process one at a time tries.
        if self.path is not None and not self._turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise Unavailable(_AWAY)
        try:
            with _outage_as_unavailable(), Session(self._changes) as session:
                yield session
        finally:
            if self.path is not None:
                self._turn.release()

    def _commit(self, session: Session, number: int, tag: str) -> None:
        """Commit; where the connection is lost meanwhile, find out what became of it."""
        try:
            with self._writing():
                session.commit()
        except exc.DBAPIError:
            if self.dialect != "postgresql" or not self._committed(number, tag):
                raise

    def _committed(self, number: int, tag: str) -> bool:
        """Whether the revision *number* is the one tagged *tag*, told by a new connection.

        A server that has not noticed yet that the connection is gone may still be committing. It
        holds the revision row until it has, so this waits for that row first.

        Raises:
            Unavailable: ``outcome_unknown``: the database can't be asked.
        """
        try:
            with Session(self._changes) as session:
                session.execute(_WAIT_FOR_REVISION)
                found = session.execute(_KNOWN_REVISION, {"number": number, "tag": tag})
                return found.one_or_none() is not None
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise Unavailable(_OUTCOME_UNKNOWN, reason="outcome_unknown") from error

    def _require_time(self, now: int, told_ms: int | None, began: float) -> None:
        if told_ms is None or self._tolerance_ms is None:
            return
        waited_ms = round((time.monotonic() - began) * 1000)
        apart_ms = max(now - told_ms, told_ms - now - waited_ms)
        if apart_ms > self._tolerance_ms:
            _log.error("this machine's clock and the primary's are %.1f s apart", apart_ms / 1000)
            raise Unavailable("This node's clock is wrong: nothing can be changed through it now.")

    def _start_anew(self) -> None:
        # Connections must not cross a fork. Not closed either, nor collected, which closes them:
        # that would act on the parent's. The child keeps them, unused, and opens its own.
        _abandoned.append(self._engine.pool)
        self._engine.dispose(close=False)
        self._turn = threading.Lock()


class Reading:
    """A consistent reading of the registry, as ``Database.read`` opens it.

    Attributes:
        session: of the transaction.
        now: the transaction's time, Unix ms.
    """

    def __init__(self, session: Session, now: int) -> None:
        self.session = session
        self.now = now


class Write(Reading):
    """A small write that takes no revision, as ``Database.auxiliary_write`` opens it."""


class Change(Write):
    """A change of what the registry grants, as ``Database.write`` opens it.

    Attributes:
        revision: of this change; it commits with it.
        endings: what this change ends for good, so far.
        confirmed: whether this node decides by it already; known once the transaction has ended.
    """

    def __init__(self, session: Session, now: int, revision: int) -> None:
        super().__init__(session, now)
        self.revision = revision
        self.endings: list[Ending] = []
        self.confirmed = False

    def end(self, subjects: Sequence[Subject], *, by: Actor) -> None:
        """Note that *subjects* end for good; ``ended.log`` lists them once this has committed."""
        self.endings += [
            Ending(self.now, subject.kind, subject.id, self.revision, by.user, by.name)
            for subject in subjects
        ]


class Committed(NamedTuple, Generic[T]):
    """What an operation that opens its own transactions made.

    Attributes:
        confirmed: whether this node decides by it already.
    """

    made: T
    confirmed: bool


@unique
class Turn(IntEnum):
    """What one transaction does at a time. The numbers are PostgreSQL's advisory locks."""

    migration = 7305808869231650
    failed_sign_ins = 7305808869231651
    counted_use = 7305808869231652
    password_resets = 7305808869231653
    receipts = 7305808869231654
    compaction = 7305808869231655


def wait_for_turn(write: Write, turn: Turn) -> None:
    """Be the only transaction that has *turn* until this one ends.

    SQLite has one writer at a time anyway.
    """
    if write.session.get_bind().dialect.name == "postgresql":
        write.session.execute(_LOCK, {"lock": turn.value})


@contextmanager
def _outage_as_unavailable() -> Iterator[None]:
    try:
        yield
    except (
        exc.OperationalError,
        exc.InterfaceError,
        exc.InternalError,
        exc.TimeoutError,
    ) as error:
        raise Unavailable(_AWAY) from error
    except exc.DBAPIError as error:
        # The bare DatabaseError is SQLite's "not a database" and "malformed".
        if error.connection_invalidated or type(error) is exc.DatabaseError:
            raise Unavailable(_AWAY) from error
        if getattr(error.orig, "sqlstate", None) in _SET_UP_OTHERWISE:
            raise Unavailable(_AWAY) from error
        raise
