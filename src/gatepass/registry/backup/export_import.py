"""Export to a file, and import of a file into an empty database."""

from pathlib import Path

from sqlalchemy.engine import Connection

from gatepass.core.errors import Conflict, Misconfigured
from gatepass.registry.backup import contents, export_file, revocation_state
from gatepass.registry.backup.contents import Contents, Progress
from gatepass.registry.backup.export_file import ExportFile
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import EndedLogReader
from gatepass.registry.storage.long_statements import without_response_timeout
from gatepass.registry.storage.schema import SchemaState, make_file, schema_state, state_of, upgrade


def export(database: Database, path: Path, *, now: int, progress: Progress) -> Contents:
    """Write a snapshot of everything into the new file *path*, and verify it.

    The installation stays in service meanwhile.

    Args:
        now: the present time, Unix ms.

    Raises:
        Misconfigured: the file exists already, or it can't be written.
        Unavailable: the database can't be read.
    """
    with database.read(now) as reading, without_response_timeout(reading.session.connection()):
        return export_file.write(path, reading.session.connection(), now, progress)


def import_(
    database: Database, file: ExportFile, log: EndedLogReader, *, progress: Progress
) -> Contents:
    """Import a file into an empty database, in one transaction that verifies it.

    Args:
        log: ``ended.log`` beside the database: an import must not undo its revocations.

    Raises:
        Conflict: ``not_empty``; ``ended_since``: the log has revocations later than the export.
        Misconfigured: the rows written differ from those read.
        Unavailable: the database can't be written.
    """
    make_file(database)
    with database.administrative_write() as connection:
        _require_empty(state_of(connection))
        upgrade(connection)
        found = fill(connection, file, progress)
        revocation_state.create(connection)
        revocation_state.add_from_log(connection, log)
        reactivated = revocation_state.count_reactivated(connection)
        revocation_state.drop(connection)
        if reactivated:
            raise Conflict(
                f"the export is too old: records that {log.path} lists as deactivated would be "
                f"active again ({reactivated:,}); gatepass restore deactivates them",
                reason="ended_since",
            )
        return found


def require_empty(database: Database) -> None:
    """Check that a database is empty, before the file is read or a SQLite file created.

    Raises:
        Conflict: ``not_empty``.
        Unavailable: the database can't be read.
    """
    _require_empty(schema_state(database))


def _require_empty(state: SchemaState) -> None:
    if state != "empty":
        raise Conflict("The database isn't empty, and is not overwritten.", reason="not_empty")


def fill(connection: Connection, file: ExportFile, progress: Progress) -> Contents:
    """Replace all rows by those of an export, and verify them.

    Raises:
        Misconfigured: the rows written differ from those read.
        Unavailable: the database can't be written.
    """
    contents.empty(connection)
    progress.begin("Writing", file.rows)
    file.copy_to(connection, progress)
    progress.begin("Checking", file.rows)
    found = contents.measure(connection, progress.advance)
    differing = contents.differing(file.contents, found)
    if differing:
        raise Misconfigured(f"what was written differs from what was read: {', '.join(differing)}")
    return found
