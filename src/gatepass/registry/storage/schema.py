"""The state of a database's schema, and bringing it up to date."""

import os
from contextlib import suppress
from typing import Literal

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from gatepass.core.errors import Misconfigured
from gatepass.registry.storage.database import Database

#: Every version of the schema there was, in order; the last is the one this program works with.
VERSIONS = ("0001", "0002", "0003", "0004", "0005")

SchemaState = Literal["empty", "old", "current", "newer"]


def schema_state(database: Database) -> SchemaState:
    """How the database's schema stands to this program: ``serve`` runs with ``current`` alone.

    Raises:
        Misconfigured: the database holds tables, but not Gatepass's.
        Unavailable: it can't be read.
    """
    if database.path is not None and not database.path.exists():
        return "empty"
    with database.read(now=0) as reading:
        return state_of(reading.session.connection())


def require_utf8(database: Database) -> None:
    """Refuse a database that can't hold every name, or wouldn't know what it holds.

    Raises:
        Misconfigured: its encoding isn't UTF-8.
        Unavailable: it can't be read.
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
    """Make the schema in an empty database; a SQLite file is made with mode 0600.

    Raises:
        Misconfigured: the database isn't empty, or the file can't be made.
        Unavailable: it can't be written.
    """
    make_file(database)
    require_utf8(database)
    with database.administering() as connection:
        if state_of(connection) != "empty":
            raise Misconfigured("the database isn't empty: it has a schema already")
        upgrade(connection)


def migrate(database: Database) -> bool:
    """Bring the schema up to date; whether anything was to be done. All of it happens, or nothing.

    Raises:
        Misconfigured: there is no schema yet, or it is newer than this program.
        Unavailable: the database can't be written.
    """
    require_utf8(database)
    if schema_state(database) == "empty":
        raise Misconfigured("the database is empty: run gatepass init first")
    with database.administering() as connection:
        state = state_of(connection)
        if state == "newer":
            raise Misconfigured("the database's schema is newer than this version of Gatepass")
        if state == "old":
            upgrade(connection)
        return state == "old"


def state_of(connection: Connection) -> SchemaState:
    """The same, within a transaction of one's own.

    Raises:
        Misconfigured: the database holds tables, but not Gatepass's.
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
    """Make the latest schema of an older one, or of none, within a transaction of one's own.

    Args:
        to: the version to stop at.
    """
    # Alembic is a heavy import, and only needed here: not by every process that serves.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "gatepass.registry.storage:migrations")
    command.upgrade(config, to)


def make_file(database: Database) -> None:
    """Make the file of a database on SQLite, empty and with mode 0600, where there is none.

    Raises:
        Misconfigured: it can't be made.
    """
    if database.path is None:
        return
    # Exclusively made, so no connection of this process can be open on it: closing a descriptor
    # would drop the locks SQLite holds on the file.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with suppress(FileExistsError):
            os.close(os.open(database.path, flags, 0o600))
    except OSError as error:
        raise Misconfigured(f"{database.path} can't be made: {error.strerror}") from error
