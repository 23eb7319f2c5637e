"""The registry's database: connections and transactions.

* ``read``: a consistent snapshot.
* ``write``: a change that takes a revision. Its transaction's first statement locks the revision
  row, which serializes all writes: revisions commit in order without gaps, and no write relies on
  an outdated read. Writes of several threads may share a transaction (``group``). Never hash a
  password, send mail or use the network inside one.
* ``auxiliary_write``: small writes beside the grants (use counts, failed sign-ins). It doesn't lock
  the revision row, so counting can't delay a deactivation.
* ``administrative_write``: schema changes, imports and restores.
"""

import logging
import os
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
from gatepass.log_limit import LogLimit
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.storage.ended_log import Revocation
from gatepass.registry.storage.engines import (
    BEGIN_READ,
    BEGIN_WRITE,
    BUSY_TIMEOUT_MS,
    postgresql_engine,
    sqlite_engine,
    sqlite_path,
)
from gatepass.registry.storage.group import Group
from gatepass.registry.storage.long_statements import without_response_timeout
from gatepass.registry.storage.turns import Turns

T = TypeVar("T")

_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
_WAIT_FOR_REVISION = text("SELECT number FROM revision WHERE id = 1 FOR UPDATE")
_KNOWN_REVISION = text("SELECT 1 FROM revisions WHERE number = :number AND tag = :tag")
# insufficient_privilege, and invalid_schema_name (search_path): the server's configuration is at
# fault, not the request.
_SERVER_MISCONFIGURED = frozenset(("42501", "3F000"))
_UNAVAILABLE = "The database can't be used right now."
_OUTCOME_UNKNOWN = (
    "The connection to the database was lost while the change was being saved. Check whether it "
    "was made before you repeat it."
)

_log = logging.getLogger("gatepass.database")

#: Connections of parent processes, kept so that they aren't closed by garbage collection.
_inherited: list[Pool] = []


class Database:
    """A registry on SQLite or PostgreSQL.

    Args:
        url: ``sqlite:////absolute/path``, or a libpq URL ``postgresql://…``, which may list several
            hosts.
        writing: wraps the commit of a write; on SQLite it changes the grant file's generation.
        confirm: called with the revision after a write has committed, outside the transaction;
            returns whether this node decides by it.
        tolerance_ms: how far a write's time may differ from the primary's clock, on PostgreSQL;
            None disables the check. Nodes whose clocks differ would disagree on what has expired.
        revoked: called with the revocations of a write, after it has committed and before
            ``confirm``.

    Raises:
        Misconfigured: the URL is invalid. The message doesn't repeat it: it may hold a password.
    """

    def __init__(
        self,
        url: str,
        *,
        writing: Callable[[], AbstractContextManager[None]] = nullcontext,
        confirm: Callable[[int], bool] | None = None,
        tolerance_ms: int | None = None,
        revoked: Callable[[Sequence[Revocation]], None] | None = None,
    ) -> None:
        self._writing = writing
        self._confirm = confirm
        self._tolerance_ms = tolerance_ms
        self._log_limit = LogLimit()
        self._revoked = revoked
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
            self._changes = engine.execution_options(gatepass_begin=BEGIN_WRITE)
            self._reads = engine.execution_options(gatepass_begin=BEGIN_READ)
        self._engine = engine
        self._turns = Turns()
        self._group: Group | None = None
        own = weakref.ref(self)

        def reset_after_fork() -> None:
            database = own()
            if database is not None:
                database._reset_after_fork()

        os.register_at_fork(after_in_child=reset_after_fork)

    @contextmanager
    def read(self, now: int) -> Iterator["Reading"]:
        """A consistent snapshot at time *now* (Unix ms).

        Raises:
            Unavailable: the database can't be read.
        """
        with _outage_as_unavailable(), Session(self._reads) as session:
            yield Reading(session, now)

    @contextmanager
    def write(self, now: int) -> Iterator["Change"]:
        """A write with a new revision, at time *now* (Unix ms). It commits atomically at the end,
        perhaps together with others that wait for the lock.

        Nothing else is raised after the commit. The Change's ``confirmed`` then says whether this
        node decides by it already.

        Raises:
            Repeated: raised in it. What it found in the same transaction has been committed.
            Unavailable: the database can't be written now, and nothing was changed; or the
                connection was lost during the commit, and its outcome can't be determined
                (``outcome_unknown``).
        """
        asked = time.monotonic()
        repeated: Repeated | None = None
        with _outage_as_unavailable():
            self._take_turn(joins=True)
            group = self._group = self._group or Group(self._changes)
            try:
                number, primary_ms = group.begin()
                self._require_same_time(now, primary_ms, asked)
                change = Change(group.session, now, number)
                try:
                    yield change
                except Repeated as found:
                    # The first may be part of this transaction, and not committed yet.
                    repeated = found
                # A revocation doesn't wait for those behind it.
                group.complete(now, last=bool(change.revocations))
            except BaseException:
                group.undo()
                raise
            finally:
                self._pass_on(group)
            group.outcome.result()
        if self._revoked is not None and change.revocations:
            self._revoked(change.revocations)
        change.confirmed = self._confirm is None or self._confirm(number)
        if repeated is not None:
            raise repeated

    @contextmanager
    def auxiliary_write(self, now: int) -> Iterator["Write"]:
        """A small write at time *now* (Unix ms) that doesn't lock the revision row.

        Raises:
            Unavailable: the database can't be written now.
        """
        # SQLite has one writer at a time.
        alone = self.path is not None
        if alone:
            self._take_turn(joins=False)
        try:
            with _outage_as_unavailable(), Session(self._changes) as session:
                yield Write(session, now)
                session.commit()
        finally:
            if alone:
                self._turns.release()

    @contextmanager
    def administrative_write(self) -> Iterator[Connection]:
        """A transaction that changes the schema or replaces all contents, serialized by a lock.

        Raises:
            Unavailable: the database can't be written now.
        """
        with (
            _outage_as_unavailable(),
            self._changes.begin() as connection,
            without_response_timeout(connection),
        ):
            if self.dialect == "postgresql":
                connection.execute(_LOCK, {"lock": AdvisoryLock.migration.value})
            yield connection

    def close(self) -> None:
        """Close all idle connections."""
        self._engine.dispose()

    def _take_turn(self, *, joins: bool) -> None:
        # SQLite's busy handler polls for the write lock, and with dozens of threads some never get
        # it. So one thread of each process at a time waits for it; on PostgreSQL, too, those behind
        # it share its transaction.
        if not self._turns.take(BUSY_TIMEOUT_MS / 1000, joins=joins):
            raise Unavailable(_UNAVAILABLE)

    def _pass_on(self, group: Group) -> None:
        """Hand the open transaction to the next change in line, or end it."""
        if not group.closing and self._turns.hand_over():
            return
        self._group = None
        try:
            if not group.empty and not group.outcome.done():
                self._commit(group)
            group.session.close()
        finally:
            self._turns.release()

    def _commit(self, group: Group) -> None:
        """Commit, and set the outcome. If the connection is lost meanwhile, find it out."""
        try:
            group.prepare()
            try:
                with self._writing():
                    group.session.commit()
            except exc.DBAPIError:
                if self.dialect != "postgresql" or not self._committed(*group.revision):
                    raise
        except BaseException as error:
            group.outcome.set_exception(error)
        else:
            group.outcome.set_result(None)

    def _committed(self, number: int, tag: str) -> bool:
        """Whether the revision *number* has the tag *tag*, read over a new connection.

        A server that hasn't noticed the lost connection may still be committing. It locks the
        revision row until it has, so this waits for that row first.

        Raises:
            Unavailable: ``outcome_unknown``: the database can't be read.
        """
        try:
            with Session(self._changes) as session:
                session.execute(_WAIT_FOR_REVISION)
                found = session.execute(_KNOWN_REVISION, {"number": number, "tag": tag})
                return found.one_or_none() is not None
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise Unavailable(_OUTCOME_UNKNOWN, reason="outcome_unknown") from error

    def _require_same_time(self, now: int, primary_ms: int | None, began: float) -> None:
        if primary_ms is None or self._tolerance_ms is None:
            return
        waited_ms = round((time.monotonic() - began) * 1000)
        apart_ms = max(now - primary_ms, primary_ms - now - waited_ms)
        if apart_ms > self._tolerance_ms:
            if self._log_limit.left_out("clocks") is not None:
                _log.error(
                    "this machine's clock and the primary's are %.1f s apart", apart_ms / 1000
                )
            raise Unavailable("This node's clock is wrong: it can't make changes now.")

    def _reset_after_fork(self) -> None:
        # A child must not use its parent's connections, nor close them or let them be collected,
        # which closes them, too: that would act on the parent's session. It keeps them unused and
        # opens its own.
        _inherited.append(self._engine.pool)
        self._engine.dispose(close=False)
        self._turns = Turns()
        self._group = None


class Reading:
    """A transaction that reads; opened by ``Database.read``.

    Attributes:
        session: the SQLAlchemy session of the transaction.
        now: the time of the transaction, Unix ms.
    """

    def __init__(self, session: Session, now: int) -> None:
        self.session = session
        self.now = now


class Write(Reading):
    """A transaction that writes without a revision; opened by ``Database.auxiliary_write``."""


class Repeated(Exception):
    """The change was made before by an equal request, so this one writes nothing.

    Attributes:
        answer: to the first request.
    """

    def __init__(self, answer: object) -> None:
        super().__init__("made before")
        self.answer = answer


class Change(Write):
    """A transaction that writes with a revision; opened by ``Database.write``.

    Attributes:
        revision: the revision that commits with this change.
        revocations: the revocations of this change so far, for ``ended.log``.
        confirmed: whether this node decides by it already; set after the commit.
        on_admitted: called once the actor has been checked again, before anything is written; it
            may raise Repeated (``idempotent_answers``).
    """

    def __init__(self, session: Session, now: int, revision: int) -> None:
        super().__init__(session, now)
        self.revision = revision
        self.revocations: list[Revocation] = []
        self.confirmed = False
        self.on_admitted: Callable[[], None] | None = None

    def end(self, subjects: Sequence[Subject], *, by: Actor) -> None:
        """Record the revocation of *subjects*, for ``ended.log`` once this has committed."""
        self.revocations += [
            Revocation(
                self.now, subject.kind, subject.id, self.revision, by.person.id, by.person.name
            )
            for subject in subjects
        ]


class Committed(NamedTuple, Generic[T]):
    """The result of an operation that opens its own transactions.

    Attributes:
        made: what it created.
        confirmed: whether this node decides by it already.
    """

    made: T
    confirmed: bool


@unique
class AdvisoryLock(IntEnum):
    """PostgreSQL's advisory locks; each serializes one kind of transaction."""

    migration = 7305808869231650
    failed_sign_ins = 7305808869231651
    usage = 7305808869231652
    password_resets = 7305808869231653
    receipts = 7305808869231654
    compaction = 7305808869231655
    warnings = 7305808869231656


def take_advisory_lock(write: Write, lock: AdvisoryLock) -> None:
    """Take *lock* until the transaction ends.

    SQLite has one writer at a time anyway.
    """
    if write.session.get_bind().dialect.name == "postgresql":
        write.session.execute(_LOCK, {"lock": lock.value})


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
        raise Unavailable(_UNAVAILABLE) from error
    except exc.DBAPIError as error:
        # SQLite reports "not a database" and "malformed" as a bare DatabaseError.
        if error.connection_invalidated or type(error) is exc.DatabaseError:
            raise Unavailable(_UNAVAILABLE) from error
        if getattr(error.orig, "sqlstate", None) in _SERVER_MISCONFIGURED:
            raise Unavailable(_UNAVAILABLE) from error
        raise
