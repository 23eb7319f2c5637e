"""Schema versions: inspection, creation and migration."""

import os
from contextlib import suppress
from typing import Literal

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from gatepass.core.errors import Misconfigured
from gatepass.registry.storage.database import Database

#: All versions of the schema, in order; the last is the one this program requires.
VERSIONS = (
    *("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010"),
    *("0011", "0012", "0013", "0014", "0015", "0016", "0017", "0018", "0019"),
    *("0020", "0021", "0022"),
)

SchemaState = Literal["empty", "old", "current", "newer"]


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
        raise Misconfigured("the database is empty: run gatepass init first")
    with database.administrative_write() as connection:
        state = state_of(connection)
        if state == "newer":
            raise Misconfigured("the database's schema is newer than this version of Gatepass")
        if state == "old":
            upgrade(connection)
        return state == "old"


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
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
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
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "gatepass.registry.storage:migrations")
    command.upgrade(config, to)


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
