"""Export files: a whole registry in one file, with digests that detect damage.

The file is a SQLite registry with the schema it was written with, and two more tables. ``export``
holds the time and the Gatepass version; ``exported_tables`` the row count and digest of each table,
``export`` included. The file holds token digests, password hashes and encrypted second factors, and
no secret in clear.
"""

import os
import secrets
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine, NullPool, create_engine, event, exc, text
from sqlalchemy.engine import Connection

from gatepass.core.errors import GatepassError, Misconfigured
from gatepass.registry.backup import contents, file_schema
from gatepass.registry.backup.contents import Content, Contents, Progress
from gatepass.registry.storage.fsync import fsync
from gatepass.registry.storage.schema import VERSIONS, upgrade

#: The last time that can be formatted (9999), Unix ms.
_LATEST_MS = 253_402_300_799_999
#: "gpex", in the header of the file.
_APPLICATION_ID = 0x67706578
# Text in a damaged file may not be UTF-8.
_UNREADABLE = (exc.SQLAlchemyError, sqlite3.Error, UnicodeDecodeError)
_LONGEST_VERSION = 64
#: Far longer than any text or record of Gatepass.
_LONGEST_VALUE = 64 << 20
_FACT_COLUMNS = ("at", "version")
_FACTS = (
    "CREATE TABLE export (at INTEGER NOT NULL, version TEXT NOT NULL)",
    "CREATE TABLE exported_tables (name TEXT NOT NULL PRIMARY KEY, rows INTEGER NOT NULL, "
    "digest TEXT NOT NULL)",
)


class ExportFile:
    """A verified export, in the present schema; opened by :func:`opened`.

    Attributes:
        path: as given.
        at: the time of the export, Unix ms.
        version: the Gatepass version that wrote it.
        contents: of its tables.
    """

    def __init__(self, path: Path, connection: Connection, at: int, version: str) -> None:
        self.path = path
        self.at = at
        self.version = version
        self.contents: dict[str, Content] = {}
        self._connection = connection

    def copy_to(self, target: Connection, progress: Progress) -> None:
        """Copy all rows into an empty registry."""
        contents.copy(self._connection, target, progress.advance)

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(content.rows for content in self.contents.values())


@contextmanager
def opened(path: Path, progress: Progress) -> Iterator[ExportFile]:
    """Open an export file and verify its contents.

    A file with an older schema is migrated in a temporary copy.

    Raises:
        Misconfigured: it isn't an export, is damaged, or was written by a newer version.
    """
    _require_plain_file(path)
    with tempfile.TemporaryDirectory(prefix="gatepass-") as directory:
        with _reading(path) as connection:
            file, schema = _facts(path, connection)
            _verify(file, connection, progress)
            if schema == VERSIONS[-1]:
                yield file
                return
        copy = Path(directory) / "export"
        _copy_up_to_date(path, copy)
        with _reading(copy) as connection:
            newer = ExportFile(path, connection, file.at, file.version)
            newer.contents = dict(contents.measure(connection, lambda rows: None))
            yield newer


def write(path: Path, source: Connection, at: int, progress: Progress) -> Contents:
    """Export the registry as a transaction sees it. The file gets its name once it is complete.

    Args:
        at: the present time, Unix ms.

    Raises:
        Misconfigured: the file exists already, or it can't be written.
    """
    if os.path.lexists(path):
        raise _exists(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            found = _fill(part, source, at, progress)
            fsync(part)
            _name(part, path)
        finally:
            with suppress(FileNotFoundError):
                part.unlink()
        fsync(path.parent)
    except OSError as error:
        raise Misconfigured(f"{path} can't be written: {error.strerror}") from error
    return found


def _fill(part: Path, source: Connection, at: int, progress: Progress) -> Contents:
    rows = contents.count(source)
    progress.begin("Reading", rows)
    expected = contents.measure(source, progress.advance)
    try:
        with _writing(part) as connection:
            upgrade(connection)
            contents.empty(connection)
            progress.begin("Writing", rows)
            contents.copy(source, connection, progress.advance)
            _note_facts(connection, at, expected)
        with _reading(part) as connection:
            progress.begin("Checking", rows)
            found = contents.measure(connection, progress.advance)
    except exc.DBAPIError as error:
        raise Misconfigured(f"{part} can't be written: {error.orig}") from error
    differing = contents.differing(expected, found)
    if differing:
        raise Misconfigured(f"what was written differs from what was read: {', '.join(differing)}")
    return found


def _note_facts(connection: Connection, at: int, found: Contents) -> None:
    for statement in _FACTS:
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql("INSERT INTO export VALUES (?, ?)", (at, version("gatepass")))
    facts = contents.measured(contents.rows(connection, "export", _FACT_COLUMNS), lambda rows: None)
    connection.exec_driver_sql(
        "INSERT INTO exported_tables VALUES (?, ?, ?)",
        [
            (table, content.rows, content.digest)
            for table, content in {**found, "export": facts}.items()
        ],
    )
    connection.exec_driver_sql(f"PRAGMA application_id = {_APPLICATION_ID}")


def _facts(path: Path, connection: Connection) -> tuple[ExportFile, str]:
    try:
        made_here = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        if made_here != _APPLICATION_ID:
            raise _not_an_export(path)
        if not file_schema.is_plain(connection):
            raise Misconfigured(f"{path} isn't an export, or it is damaged")
        at, made_by = connection.exec_driver_sql("SELECT at, version FROM export").one()
        schema = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
    except _UNREADABLE as error:
        raise Misconfigured(f"{path} isn't an export, or it is damaged") from error
    if type(at) is not int or not 0 <= at <= _LATEST_MS or type(made_by) is not str:
        raise _damaged(path)
    if len(made_by) > _LONGEST_VERSION or not made_by.isprintable():
        raise _damaged(path)
    if schema not in VERSIONS:
        raise Misconfigured(f"{path} was written by a newer version of Gatepass: {made_by}")
    if not file_schema.has_schema(connection, schema, _FACTS):
        raise _damaged(path)
    return ExportFile(path, connection, at, made_by), schema


def _verify(file: ExportFile, connection: Connection, progress: Progress) -> None:
    try:
        said = {
            name: Content(rows, digest)
            for name, rows, digest in connection.exec_driver_sql("SELECT * FROM exported_tables")
        }
        numbers = all(type(content.rows) is int for content in said.values())
        if not numbers or said.keys() != _tables(connection):
            raise _damaged(file.path)
        progress.begin("Reading", sum(content.rows for content in said.values()))
        file.contents = {
            table: contents.measured(
                contents.rows(connection, table, _columns(connection, table)), progress.advance
            )
            for table in said
        }
    except _UNREADABLE as error:
        raise _damaged(file.path) from error
    if contents.differing(said, file.contents):
        raise _damaged(file.path)
    del file.contents["export"]


def _tables(connection: Connection) -> set[str]:
    """The tables that ``exported_tables`` lists: all but itself and the schema version."""
    found = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' "
        "AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    )
    return set(found.scalars()) - {"alembic_version", "exported_tables"}


def _columns(connection: Connection, table: str) -> tuple[str, ...]:
    found = connection.execute(text("SELECT name FROM pragma_table_info(:t)"), {"t": table})
    return tuple(sorted(found.scalars()))


def _damaged(path: Path) -> GatepassError:
    return Misconfigured(f"{path} is damaged: it doesn't hold what was written into it")


def _not_an_export(path: Path) -> GatepassError:
    return Misconfigured(f"{path} isn't an export: gatepass export writes them")


def _exists(path: Path) -> GatepassError:
    return Misconfigured(f"{path} exists already, and is not overwritten")


def _copy_up_to_date(path: Path, copy: Path) -> None:
    from_, to = _connect(path, "ro"), sqlite3.connect(copy)
    try:
        from_.backup(to)
    finally:
        from_.close()
        to.close()
    try:
        with _writing(copy) as connection:
            upgrade(connection)
    except _UNREADABLE as error:
        # Its tables don't hold what that version wrote.
        raise _damaged(path) from error


def _require_plain_file(path: Path) -> None:
    try:
        plain = stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        raise Misconfigured(f"{path} can't be read: {error.strerror}") from error
    if not plain:
        raise _not_an_export(path)


def _name(part: Path, path: Path) -> None:
    """Give a file its name, unless another file has it by now."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        # Some file systems don't support hard links.
        os.rename(part, path)


@contextmanager
def _reading(path: Path) -> Iterator[Connection]:
    engine = _engine(path, "ro")
    with engine.connect() as connection:
        yield connection


@contextmanager
def _writing(path: Path) -> Iterator[Connection]:
    # An interrupted file is deleted, so it needs neither a journal nor flushes.
    engine = _engine(path, "rw")
    with engine.connect() as connection:
        connection.connection.cursor().execute("PRAGMA journal_mode = MEMORY")
        connection.connection.cursor().execute("PRAGMA synchronous = OFF")
        with connection.begin():
            yield connection


def _engine(path: Path, mode: str) -> Engine:
    engine = create_engine(
        "sqlite://", creator=lambda: _connect(path, mode), poolclass=NullPool, hide_parameters=True
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None
    )
    # The file may come from anywhere: no code in its schema may run.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    return connection
