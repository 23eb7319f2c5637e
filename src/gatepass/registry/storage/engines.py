"""SQLAlchemy engines for SQLite and PostgreSQL, with the settings that writes rely on."""

import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, QueuePool, create_engine, event
from sqlalchemy.engine import Connection

from gatepass.core.errors import Misconfigured

#: How long a SQLite writer waits for the write lock before it fails as unavailable.
BUSY_TIMEOUT_MS = 5_000

# Parameters hold digests, hashes and e-mail addresses, which must not appear in error messages.
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
# The server terminates a writer that froze in its transaction, and those that wait for it fail
# within seconds. Set in each transaction, together with BEGIN: behind a pooler in transaction mode,
# session settings would apply to another client.
_POSTGRESQL_SETTINGS = (
    "SET LOCAL lock_timeout = '2s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '2s'; "
    "SET LOCAL synchronous_commit = on"
)
BEGIN_WRITE = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_POSTGRESQL_SETTINGS}"
BEGIN_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_POSTGRESQL_SETTINGS}"
_POSTGRESQL_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 10,
    "target_session_attrs": "read-write",
    "application_name": "gatepass",
    # Behind a pooler, the next transaction may run in a server process without the statement.
    "prepare_threshold": None,
}


def sqlite_path(url: str) -> Path:
    """The file that a ``sqlite:///`` URL names. Raises Misconfigured if it names none."""
    # Percent escapes aren't decoded, as for the grant file beside it: that would be another file.
    database = url.removeprefix("sqlite:///")
    if database == url or not os.path.isabs(database):
        raise Misconfigured(
            "GATEPASS_DATABASE_URL: for SQLite it must name a file, as in "
            "sqlite:////var/lib/gatepass/gatepass.db"
        )
    return Path(database)


def sqlite_engine(path: Path) -> Engine:
    """An engine for a SQLite file.

    Transactions start with the execution option ``gatepass_begin``, or else ``BEGIN``.
    """

    def connect() -> sqlite3.Connection:
        # Never create the file by accident: only creating the schema does.
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
    # SQLite's driver would begin late, and never for a SELECT, so a read wouldn't be consistent.
    # PostgreSQL's would take one round trip for BEGIN and one for each setting.
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("gatepass_begin", "BEGIN"))


def postgresql_engine(url: str) -> Engine:
    """An engine for a PostgreSQL server, or for a pooler in front of it.

    Transactions start with the execution option ``gatepass_begin``: ``BEGIN_WRITE`` or
    ``BEGIN_READ``.

    Raises:
        Misconfigured: the URL is invalid. The message doesn't repeat it: it may hold a password.
    """
    # Imported here: commands on SQLite start faster without a driver for PostgreSQL.
    import psycopg
    from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo

    from gatepass.registry.storage.silent_server import connect

    if not url.startswith(("postgresql://", "postgres://")):
        raise Misconfigured("GATEPASS_DATABASE_URL: must begin with sqlite:/// or postgresql://")
    try:
        given = conninfo_to_dict(url)
        # Otherwise the first connection would fail, like a fault of the program.
        timeout_from_conninfo({**_POSTGRESQL_DEFAULTS, **given})
    except psycopg.Error:
        given = {}
    if not given:
        raise Misconfigured(
            "GATEPASS_DATABASE_URL: must have only parameters and spellings that PostgreSQL knows"
        )
    engine = create_engine(
        "postgresql+psycopg://",
        creator=partial(connect, _POSTGRESQL_DEFAULTS, given),
        pool_pre_ping=True,
        **_ENGINE["postgresql"],
    )
    event.listen(engine, "begin", _begin)
    return engine
