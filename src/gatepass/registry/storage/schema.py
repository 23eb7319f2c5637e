"""Schema versions: inspection, creation and migration."""

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from gatepass.core.errors import Misconfigured, Unavailable
from gatepass.registry.storage.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

#: All versions of the schema, in order; the last is the one this program requires.
VERSIONS = (
    *("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010"),
    *("0011", "0012", "0013", "0014", "0015", "0016", "0017", "0018", "0019"),
    *("0020", "0021", "0022", "0023"),
)

#: Those that take away or change what nodes of the version before read or write. All others only
#: add: such nodes go on meanwhile (docs/how-to/upgrade.md).
CONTRACTS = frozenset(("0007",))

SchemaState = Literal["empty", "old", "current", "newer"]

# Nodes may be using the tables. A migration takes its turn like any other change, whose first
# statement locks the revision row. Other transactions are short. If it has to wait for one, and
# holds a table that one waits for, it gives up before PostgreSQL looks for deadlocks (after
# a second), which might end a node's transaction, and starts again.
_BEFORE_MIGRATING = (
    text("SET LOCAL lock_timeout = '500ms'"),
    text("LOCK TABLE revision IN EXCLUSIVE MODE"),
)
# lock_not_available, deadlock_detected
_IN_USE = frozenset(("55P03", "40P01"))
_PAUSES_S = (0.2, 0.5, 1.1, 0.3, 0.7, 1.3, 2.1, 3.1, 5.3)
_EMPTY = "the database is empty: run gatepass init first"
_NEWER = "the database's schema is newer than this version of Gatepass"


class Step(NamedTuple):
    """A version that a migration would go through.

    Attributes:
        summary: of what it changes.
        contract: whether nodes of the version before don't survive it.
    """

    version: str
    summary: str
    contract: bool


def schema_state(database: Database) -> SchemaState:
    """The state of the database's schema; ``serve`` requires ``current``.

    Raises:
        Misconfigured: the database holds tables of another program.
        Unavailable: the database can't be read.
    """
    if database.path is not None and not database.path.exists():
        return "empty"
    with database.read(now=0) as reading:
        return state_of(reading.session.connection())


def require_utf8(database: Database) -> None:
    """Refuse a PostgreSQL database whose encoding isn't UTF-8: it can't store every name.

    Raises:
        Misconfigured: the encoding isn't UTF-8.
        Unavailable: the database can't be read.
    """
    if database.dialect != "postgresql":
        return
    with database.read(now=0) as reading:
        encoding = reading.session.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise Misconfigured(
            f"the database's encoding is {encoding} and must be UTF8: create another one with "
            "CREATE DATABASE NAME ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
        )


def create_schema(database: Database) -> None:
    """Create the schema in an empty database; a SQLite file is created with mode 0600.

    Raises:
        Misconfigured: the database isn't empty, or the file can't be created.
        Unavailable: the database can't be written.
    """
    make_file(database)
    require_utf8(database)
    with database.administrative_write() as connection:
        if state_of(connection) != "empty":
            raise Misconfigured("the database isn't empty: it has a schema already")
        upgrade(connection)


def migrate(database: Database) -> bool:
    """Migrate the schema to the current version, atomically.

    Returns:
        Whether the schema was old.

    Raises:
        Misconfigured: there is no schema yet, or it is newer than this program.
        Unavailable: the database can't be written.
    """
    require_utf8(database)
    if schema_state(database) == "empty":
        raise Misconfigured(_EMPTY)
    for pause_s in _PAUSES_S:
        try:
            return _migrate(database)
        except Unavailable as error:
            if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) not in _IN_USE:
                raise
        time.sleep(pause_s)
    return _migrate(database)


def _migrate(database: Database) -> bool:
    with database.administrative_write() as connection:
        state = state_of(connection)
        if state == "newer":
            raise Misconfigured(_NEWER)
        if state == "old":
            if database.dialect == "postgresql":
                for statement in _BEFORE_MIGRATING:
                    connection.execute(statement)
            upgrade(connection)
        return state == "old"


def plan(database: Database) -> list[Step]:
    """What ``migrate`` would do, in order; nothing is changed.

    Raises:
        Misconfigured: there is no schema yet, or it is newer than this program.
        Unavailable: the database can't be read.
    """
    from alembic.script import ScriptDirectory

    state = schema_state(database)
    if state == "empty":
        raise Misconfigured(_EMPTY)
    if state == "newer":
        raise Misconfigured(_NEWER)
    with database.read(now=0) as reading:
        here = _version(reading.session.connection())
    scripts = ScriptDirectory.from_config(_alembic())
    return [
        Step(version, scripts.get_revision(version).doc, version in CONTRACTS)
        for version in VERSIONS[VERSIONS.index(here) + 1 :]
    ]


def state_of(connection: Connection) -> SchemaState:
    """The state of the schema, read in the caller's transaction.

    Raises:
        Misconfigured: the database holds tables of another program.
    """
    names = inspect(connection).get_table_names()
    if not names:
        return "empty"
    if "alembic_version" not in names or "revision" not in names:
        raise Misconfigured("the database holds tables that aren't Gatepass's")
    version = _version(connection)
    if version == VERSIONS[-1]:
        return "current"
    return "old" if version in VERSIONS else "newer"


def upgrade(connection: Connection, *, to: str = "head") -> None:
    """Create or migrate the schema in the caller's transaction.

    Args:
        to: the version to stop at.
    """
    # Alembic is slow to import, and processes that serve don't need it.
    from alembic import command

    command.upgrade(_alembic(connection), to)


def _alembic(connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "gatepass.registry.storage:migrations")
    return config


def _version(connection: Connection) -> str:
    found = connection.execute(text("SELECT version_num FROM alembic_version"))
    return str(found.scalar_one())


def make_file(database: Database) -> None:
    """Create the file of a SQLite database, empty and with mode 0600, unless it exists.

    Raises:
        Misconfigured: it can't be created.
    """
    if database.path is None:
        return
    # Created exclusively, so no connection of this process can be open on it: closing a descriptor
    # would drop the locks that SQLite holds on the file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with suppress(FileExistsError):
            os.close(os.open(database.path, flags, 0o600))
    except OSError as error:
        raise Misconfigured(f"{database.path} can't be created: {error.strerror}") from error
