"""Exports of a registry, without progress lines."""

from pathlib import Path

from gatepass.registry.backup import export_file, export_import
from gatepass.registry.backup.contents import Contents, Progress
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import EndedLog
from tests.support.database.small_registry import NOW

QUIET = Progress()


def export(database: Database, path: Path, progress: Progress = QUIET) -> Path:
    """Export the database to *path*, which it returns."""
    export_import.export(database, path, now=NOW, progress=progress)
    return path


def import_(database: Database, path: Path, progress: Progress = QUIET) -> Contents:
    """Import *path*, with the ended.log beside it."""
    log = EndedLog(path.with_name("ended.log"))
    with export_file.opened(path, progress) as file:
        return export_import.import_(database, file, log.read(), progress=progress)
