"""Open a verifier on the grant file of this machine's Gatepass."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gatepass.core.errors import Misconfigured
from gatepass.core.routes import Routes
from gatepass.verify.catalogue import read_catalogue
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.maintenance import Maintenance
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier


def open_verifier(path: str | Path, *, catalogue: str | Path | None = None) -> Verifier:
    """A verifier on this machine's grant file, in this process and its forks.

    It reads the same rows as the Gatepass processes, so a deactivation takes effect at its next
    decision. Allowed calls count as uses. A thread spools the counts and watches the clock.

    Args:
        path: ``gatepass.db`` in the data directory, or ``grants.db`` where the registry is on
            PostgreSQL. The process must run as the file's owner.
        catalogue: a catalogue file, whose routes count for calls by method and path; by default
            those of the installation's catalogue, as it is at any time.

    Raises:
        Misconfigured: the file doesn't exist, isn't a grant file or belongs to another user; or the
            machine's clock is behind the latest time the installation has seen.
        CatalogueError: the catalogue is invalid.
    """
    routes = Routes(()) if catalogue is None else read_catalogue(catalogue).routes
    path = Path(path).absolute()
    copy = _is_copy(path)
    file = GrantFile(path)
    usage = Usage(file.use_directory)
    clock = Clock(file.shared.latest_ms)
    verifier = Verifier(file, clock, routes, published=catalogue is None, copy=copy, usage=usage)
    verifier.background = maintenance = Maintenance(verifier, usage)
    maintenance.start()
    return verifier


def _is_copy(path: Path) -> bool:
    """Whether the file is a copy with a lease, or the registry itself.

    Only a registry has a schema version. Any other file counts as a copy, which needs a lease.
    """
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
        ) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise Misconfigured(f"{path} can't be opened as a grant file: {error}") from error
    if "grants" not in names:
        raise Misconfigured(f"{path} must be a Gatepass grant file")
    return "alembic_version" not in names
