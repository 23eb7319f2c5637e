"""Open the grant file of the Gatepass that runs on this machine, to decide in one's own process."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gatepass.core.errors import Misconfigured
from gatepass.core.routes import Routes
from gatepass.verify.catalogue import read_catalogue
from gatepass.verify.clock import Clock
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.replica.maintenance import Rounds
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier


def open_verifier(path: str | Path, *, catalogue: str | Path | None = None) -> Verifier:
    """A verifier on this machine's grant file, for the life of the process (and of its forks).

    It reads the same rows as the Gatepass processes do, so a deactivation counts for its very next
    question. What it allows is counted as use. A thread spools the counts and watches the clock.

    Args:
        path: ``gatepass.db`` in the data directory, or ``grants.db`` where the registry is on
            PostgreSQL; the process runs as the user who owns it.
        catalogue: a catalogue file, if ``Verifier.check`` is to be asked by method and path.

    Raises:
        Misconfigured: there is no such file, it isn't a grant file or belongs to another user; or
            the machine's clock is behind the latest time the installation has seen.
        CatalogueError: the catalogue can't be used.
    """
    routes = Routes(()) if catalogue is None else read_catalogue(catalogue).routes
    path = Path(path).absolute()
    copy = _is_copy(path)
    file = GrantFile(path)
    usage = Usage(file.use_directory)
    clock = Clock(file.shared.latest_ms)
    verifier = Verifier(file, clock, routes, copy=copy, counting=usage)
    verifier.upkeep = rounds = Rounds(verifier, usage)
    rounds.start()
    return verifier


def _is_copy(path: Path) -> bool:
    """Whether the file is a copy that must be vouched for, or the registry itself.

    Only a registry has a schema version; whatever doesn't show one is believed on a stamp alone.
    """
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)
        ) as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise Misconfigured(f"{path} can't be opened as a grant file: {error}") from error
    if "grants" not in names:
        raise Misconfigured(f"{path} isn't a Gatepass grant file")
    return "alembic_version" not in names
