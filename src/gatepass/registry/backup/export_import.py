"""Moving a whole installation: into a file, and from one into an empty database."""

from pathlib import Path

from sqlalchemy.engine import Connection

from gatepass.core.errors import Conflict, Misconfigured
from gatepass.registry.backup import contents, export_file, revocation_state
from gatepass.registry.backup.contents import Contents, Progress
from gatepass.registry.backup.export_file import ExportFile
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import EndedLogReader
from gatepass.registry.storage.schema import SchemaState, make_file, schema_state, state_of, upgrade
from gatepass.registry.storage.silent_server import patient


def export(database: Database, path: Path, *, now: int, progress: Progress) -> Contents:
    """Write everything, as it is at one moment, into the new file *path*, and read it back.

    People and gateways go on meanwhile.

    Args:
        now: the present moment, Unix ms.

    Raises:
        Misconfigured: there is such a file already, or it can't be written.
        Unavailable: the database can't be read.
    """
    with database.read(now) as reading, patient(reading.session.connection()):
        return export_file.write(path, reading.session.connection(), now, progress)


def import_(
    database: Database, file: ExportFile, log: EndedLogReader, *, progress: Progress
) -> Contents:
    """Fill an empty database: all of it in one transaction, and read back before it commits.

    Args:
        log: what ``ended.log`` beside the database knows: an import is no way around it.

    Raises:
        Conflict: ``not_empty``; ``ended_since``: the export is older than what the log tells of.
        Misconfigured: what was written differs from what was read.
        Unavailable: the database can't be written.
    """
    make_file(database)
    with database.administering() as connection:
        _require_empty(state_of(connection))
        upgrade(connection)
        found = fill(connection, file, progress)
        revocation_state.begin(connection)
        revocation_state.learn_from_log(connection, log)
        revived = revocation_state.revived(connection)
        revocation_state.end(connection)
        if revived:
            raise Conflict(
                f"the export is too old: {log.path} knows of things that have ended since, and "
                f"would be active again ({revived:,}); gatepass restore keeps them ended",
                reason="ended_since",
            )
        return found


def require_empty(database: Database) -> None:
    """Look before much is read, and before a file is made.

    Raises:
        Conflict: ``not_empty``.
        Unavailable: the database can't be read.
    """
    _require_empty(schema_state(database))


def _require_empty(state: SchemaState) -> None:
    if state != "empty":
        raise Conflict("The database isn't empty, and is not overwritten.", reason="not_empty")


def fill(connection: Connection, file: ExportFile, progress: Progress) -> Contents:
    """Put an export's rows in the place of all there are, and read them back.

    Raises:
        Misconfigured: what was written differs from what was read.
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
