"""Connections to the two databases, each set as the protocol of changes wants it."""

import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, timeout_from_conninfo
from sqlalchemy import Engine, QueuePool, create_engine, event
from sqlalchemy.engine import Connection

from gatepass.core.errors import Misconfigured
from gatepass.registry.storage.silent_server import connect

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
# Said in each transaction, along with its BEGIN: behind a pooler that gives connections out by the
# transaction, what one session set would be another's.
_POSTGRESQL_SETTINGS = (
    "SET LOCAL lock_timeout = '2s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '2s'; "
    "SET LOCAL synchronous_commit = on"
)
CHANGING = f"BEGIN ISOLATION LEVEL READ COMMITTED; {_POSTGRESQL_SETTINGS}"
READING = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_POSTGRESQL_SETTINGS}"
_POSTGRESQL_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 10,
    "target_session_attrs": "read-write",
    "application_name": "gatepass",
    # What one server process was asked to prepare, the next, behind a pooler, knows nothing of.
    "prepare_threshold": None,
}


def sqlite_path(url: str) -> Path:
    """The file that a ``sqlite:///`` URL names. Raises Misconfigured if it names none."""
    # Taken as it stands, as the grant file beside it is: decoding escapes would name another file.
    database = url.removeprefix("sqlite:///")
    if database == url or not os.path.isabs(database):
        raise Misconfigured(
            "GATEPASS_DATABASE_URL: for SQLite it must name a file, as in "
            "sqlite:////var/lib/gatepass/gatepass.db"
        )
    return Path(database)


def sqlite_engine(path: Path) -> Engine:
    """Connections to a SQLite file. A transaction begins as ``BEGIN``, or as the execution option
    ``gatepass_begin`` says."""

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
    # SQLite's driver would begin late, and never for a SELECT: a reading then wouldn't be
    # consistent. PostgreSQL's would take a round trip for BEGIN and one for each setting.
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("gatepass_begin", "BEGIN"))


def postgresql_engine(url: str) -> Engine:
    """Connections to a PostgreSQL server, or to a pooler in front of it. A transaction begins as
    the execution option ``gatepass_begin`` says: as ``CHANGING`` or ``READING``.

    Raises:
        Misconfigured: the URL can't be read. The message doesn't repeat it: it may hold a password.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise Misconfigured("GATEPASS_DATABASE_URL: must begin with sqlite:/// or postgresql://")
    try:
        given = conninfo_to_dict(url)
        # Else it would be found out by the first connection, as a fault of the program's.
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
