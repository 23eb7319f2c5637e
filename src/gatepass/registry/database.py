"""The registry's database: connections, and the three kinds of transaction.

* ``reading``: a consistent look at everything.
* ``changing``: what people change. Its first statement takes the revision row, which is the lock
  of all changes: so revisions commit in order without gaps, and nothing is built on an old reading.
  Never hash a password, send mail or use the network inside one.
* ``counting``: small writes that are no change of grants (use, failed sign-ins). It never takes the
  revision, so counting can't hold up a deactivation.
"""

import math
import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Engine, Pool, QueuePool, create_engine, event, exc, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from gatepass.core.errors import Misconfigured, Unavailable

#: PostgreSQL wakes followers through this channel when a change commits.
CHANGED_CHANNEL = "gatepass_changed"

#: How long a SQLite writer waits for its turn before it says "unavailable".
BUSY_TIMEOUT_MS = 5_000

# Parameters are digests, hashes and people's addresses: none of an error message's business.
_ENGINE: dict[str, dict[str, Any]] = {
    "sqlite": {"pool_size": 10, "max_overflow": 40, "pool_timeout": 5, "hide_parameters": True},
    "postgresql": {"pool_size": 5, "max_overflow": 5, "pool_timeout": 5, "hide_parameters": True},
}
_SQLITE_SETTINGS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    # An acknowledged change survives a power cut.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -16384",
)
# A writer that froze in the middle is thrown out, and whoever waits for it is told within seconds.
_POSTGRESQL_SETTINGS = (
    "SET lock_timeout = '2s'",
    "SET idle_in_transaction_session_timeout = '2s'",
    "SET synchronous_commit = on",
    "SET default_transaction_isolation = 'read committed'",
)
_POSTGRESQL_DEFAULTS = {
    "connect_timeout": "5",
    "tcp_user_timeout": "5000",
    "keepalives_idle": "10",
    "target_session_attrs": "read-write",
    "application_name": "gatepass",
}
#: A server that says nothing for this long while it is asked something counts as away.
PATIENCE_S = 5.0
_TAKE_REVISION = text(
    "UPDATE revision SET number = number + 1, tag = :tag WHERE id = 1 RETURNING number"
)
_KEEP_REVISION = text("INSERT INTO revisions (number, tag, at) VALUES (:number, :tag, :at)")
_WAKE_FOLLOWERS = text(f"SELECT pg_notify('{CHANGED_CHANNEL}', '')")
_AWAY = "The database can't be used right now."

_abandoned: list[Pool] = []

_Answer = TypeVar("_Answer")


class Database:
    """A registry on SQLite or PostgreSQL.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql://…`` as libpq reads it, several hosts
            included.
        writing: wraps the commit of a change; on SQLite it moves the grant file's generation.
        confirm: called with the revision after a change has committed, outside the transaction; it
            may raise Unavailable ``not_confirmed``.

    Raises:
        Misconfigured: the URL can't be read. The message doesn't repeat it: it may hold a password.
    """

    def __init__(
        self,
        url: str,
        *,
        writing: Callable[[], AbstractContextManager[None]] = nullcontext,
        confirm: Callable[[int], None] | None = None,
    ) -> None:
        self._writing = writing
        self._confirm = confirm
        #: The SQLite file, or None.
        self.path: Path | None = None
        if url.startswith("sqlite:"):
            self.dialect = "sqlite"
            self.path = _sqlite_path(url)
            engine = _sqlite_engine(self.path)
            self._changes: Engine = engine.execution_options(gatepass_begin="BEGIN IMMEDIATE")
            self._reads: Engine = engine
        else:
            self.dialect = "postgresql"
            engine = _postgresql_engine(url)
            self._changes = engine
            self._reads = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        self._engine = engine
        self._turn = threading.Lock()
        own = weakref.ref(self)

        def start_anew() -> None:
            database = own()
            if database is not None:
                database._start_anew()

        os.register_at_fork(after_in_child=start_anew)

    @contextmanager
    def reading(self, now: int) -> Iterator[Session]:
        """A consistent reading at time *now* (Unix ms), found in ``session.info["now"]``.

        Raises:
            Unavailable: the database can't be read.
        """
        with _outage_as_unavailable(), Session(self._reads, info={"now": now}) as session:
            yield session

    @contextmanager
    def changing(self, now: int) -> Iterator[Session]:
        """A change at time *now* (Unix ms): it commits as a whole at the end, or not at all.

        ``session.info`` holds ``now`` and the ``revision`` that this change will be.

        Raises:
            Unavailable: the database can't be written now (``unavailable``), or the change stands
                but this node hasn't seen it yet (``not_confirmed``).
        """
        tag = secrets.token_hex(8)
        with self._write(now) as session:
            number = session.execute(_TAKE_REVISION, {"tag": tag}).scalar_one()
            session.info["revision"] = number
            yield session
            session.execute(_KEEP_REVISION, {"number": number, "tag": tag, "at": now})
            if self.dialect == "postgresql":
                session.execute(_WAKE_FOLLOWERS)
            with self._writing():
                session.commit()
        if self._confirm is not None:
            self._confirm(number)

    @contextmanager
    def counting(self, now: int) -> Iterator[Session]:
        """A small write at time *now* (Unix ms) that never takes the revision.

        Raises:
            Unavailable: the database can't be written now.
        """
        with self._write(now) as session:
            yield session
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
            _patient(connection),
        ):
            if self.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7305808869231650)"))
            yield connection

    def close(self) -> None:
        """Close all connections that aren't in use."""
        self._engine.dispose()

    @contextmanager
    def _write(self, now: int) -> Iterator[Session]:
        # Those who wait for SQLite's one writer try again at random moments, and with dozens of
        # threads some never hit one. So of each process one at a time tries.
        if self.path is not None and not self._turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise Unavailable(_AWAY)
        try:
            with _outage_as_unavailable(), Session(self._changes, info={"now": now}) as session:
                yield session
        finally:
            if self.path is not None:
                self._turn.release()

    def _start_anew(self) -> None:
        # Connections must not cross a fork. Not closed either, nor collected, which closes them:
        # that would act on the parent's. The child keeps them, unused, and opens its own.
        _abandoned.append(self._engine.pool)
        self._engine.dispose(close=False)
        self._turn = threading.Lock()


@contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """Let what *connection* is asked take its time: building an index is silent work."""
    driver = connection.connection.dbapi_connection
    if not isinstance(driver, _Impatient):
        yield
        return
    driver.patience_s = math.inf
    try:
        yield
    finally:
        driver.patience_s = PATIENCE_S


def wait_for_turn(session: Session, lock: int) -> None:
    """Within ``counting``: be the only transaction that holds *lock* until this one ends.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})


def _sqlite_path(url: str) -> Path:
    # Taken as it stands, as the grant file beside it is: decoding escapes would name another file.
    database = url.removeprefix("sqlite:///")
    if database == url or not os.path.isabs(database):
        raise Misconfigured(
            "GATEPASS_DATABASE_URL can't be read: for SQLite it names a file, as in "
            "sqlite:////var/lib/gatepass/gatepass.db"
        )
    return Path(database)


def _sqlite_engine(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        # Never made by accident: only whoever creates the schema makes the file.
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )
        for setting in _SQLITE_SETTINGS:
            connection.execute(setting)
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, **_ENGINE["sqlite"])
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # The driver would begin late, and never for a SELECT: a reading then wouldn't be consistent.
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("gatepass_begin", "BEGIN"))


def _postgresql_engine(url: str) -> Engine:
    if not url.startswith(("postgresql://", "postgres://")):
        raise Misconfigured(
            "GATEPASS_DATABASE_URL can't be read: it begins with sqlite:/// or postgresql://"
        )
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        given = {}
    if not given:
        raise Misconfigured(
            "GATEPASS_DATABASE_URL can't be read: it has a parameter or a spelling that PostgreSQL "
            "doesn't know"
        )
    parameters: dict[str, Any] = {**_POSTGRESQL_DEFAULTS, **given}

    def connect() -> psycopg.Connection[Any]:
        connection = _Impatient.connect(**parameters, autocommit=True)
        for setting in _POSTGRESQL_SETTINGS:
            connection.execute(setting)
        connection.autocommit = False
        return connection

    return create_engine(
        "postgresql+psycopg://", creator=connect, pool_pre_ping=True, **_ENGINE["postgresql"]
    )


class _Impatient(psycopg.Connection[Any]):
    """A connection that gives up on a silent server.

    The server's own limits don't help where the server itself is frozen, and ``tcp_user_timeout``
    doesn't where its kernel still acknowledges. The connection is closed then, so that what was
    asked can't be carried out later: without its commit it is nothing.
    """

    patience_s = PATIENCE_S

    def wait(
        self, gen: PQGen[_Answer], interval: float = 0.1, timeout: float | None = None
    ) -> _Answer:
        """Wait for what *gen* asks of the server."""
        try:
            return super().wait(_impatient(gen, self.patience_s), interval, timeout)
        except _Silence:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server doesn't answer") from None


class _Silence(Exception):
    pass


def _impatient(gen: PQGen[_Answer], patience_s: float) -> PQGen[_Answer]:
    """*gen*, given up once nothing has been heard for *patience_s*; a long answer may take longer
    in all."""
    try:
        waits_for = next(gen)
        heard = time.monotonic()
        while True:
            ready = yield waits_for
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > patience_s:
                raise _Silence
            waits_for = gen.send(ready)
    except StopIteration as end:
        answer: _Answer = end.value
        return answer


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
        raise
