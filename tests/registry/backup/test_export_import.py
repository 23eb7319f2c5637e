"""Export and import: nothing is lost, on any pair of engines."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from gatepass.core.errors import Conflict, Misconfigured, Unavailable
from gatepass.registry.actor import Actor
from gatepass.registry.backup import export_file, export_import
from gatepass.registry.backup.contents import Progress
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import EndedLog, Revocation
from gatepass.registry.storage.schema import schema_state
from gatepass.registry.tokens import access_tokens
from tests.registry.backup.conftest import IMPORT_TARGET
from tests.support.database.exports import export, import_
from tests.support.database.full_registry import FullRegistry, measured
from tests.support.database.small_registry import NOW
from tests.support.waiting import LIMIT_S


@pytest.fixture(params=["sqlite", "postgresql", "postgresql with unusual defaults"])
def empty(request: pytest.FixtureRequest, new_database: Callable[[str], Database]) -> Database:
    """An empty database on each engine in turn, and on PostgreSQL with unusual defaults."""
    return new_database(request.param)


def test_a_round_trip_through_either_engine_changes_nothing(
    registry: FullRegistry, empty: Database, tmp_path: Path
) -> None:
    before = measured(registry.database)
    assert [table for table, content in before.items() if not content.rows] == []
    import_(empty, export(registry.database, tmp_path / "there"))
    assert schema_state(empty) == "current"
    assert measured(empty) == before
    back = Database(f"sqlite:///{tmp_path / 'back.db'}")
    import_(back, export(empty, tmp_path / "back"))
    assert measured(back) == before
    back.close()
    assert measured(registry.database) == before


def test_an_imported_registry_continues_its_numbers(empty: Database, exported: Path) -> None:
    """Autoincrement numbers, too."""
    import_(empty, exported)
    with empty.read(NOW) as reading:
        number = reading.session.scalar(text("SELECT max(number) FROM audit_events"))
        token = reading.session.scalar(text("SELECT id FROM access_tokens"))
    assert token is not None
    with empty.write(NOW) as change:
        access_tokens.deactivate(change, Actor.command_line(), token)
    with empty.read(NOW) as reading:
        assert reading.session.scalar(text("SELECT max(number) FROM audit_events")) == number + 1


def test_nothing_is_overwritten(registry: FullRegistry, tmp_path: Path) -> None:
    exported = export(registry.database, tmp_path / "exported")
    content = exported.read_bytes()
    with pytest.raises(Misconfigured, match="exists already"):
        export(registry.database, exported)
    assert exported.read_bytes() == content
    before = measured(registry.database)
    with pytest.raises(Conflict, match="isn't empty"):
        import_(registry.database, exported)
    assert measured(registry.database) == before


def test_a_file_that_appears_meanwhile_is_not_overwritten(
    on_sqlite: FullRegistry, tmp_path: Path
) -> None:
    class Quicker(Progress):
        def begin(self, doing: str, rows: int) -> None:
            (tmp_path / "x").write_text("mine")

    with pytest.raises(Misconfigured, match="exists already"):
        export(on_sqlite.database, tmp_path / "x", Quicker())
    assert (tmp_path / "x").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def test_an_export_is_one_snapshot(registry: FullRegistry, tmp_path: Path) -> None:
    before = measured(registry.database)

    class Busy(Progress):
        def begin(self, doing: str, rows: int) -> None:
            registry.do(
                access_tokens.create,
                registry.signed,
                catalogue=registry.catalogue,
                label=doing,
                kind="api",
                permissions=["charges:get"],
            )

    found = export_import.export(registry.database, tmp_path / "x", now=NOW, progress=Busy())
    assert found == before
    assert measured(registry.database) != before


def test_an_unwritable_path_is_reported(on_sqlite: FullRegistry, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nowhere/x can't be written: No such file"):
        export(on_sqlite.database, tmp_path / "nowhere" / "x")


def test_an_export_with_an_older_schema_is_migrated(empty: Database, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.touch(mode=0o600)
    database = Database(f"sqlite:///{old}")
    with database.administrative_write() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "gatepass.registry.storage:migrations")
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO companies VALUES ('com_1', 'Acme', 'acme', 1, NULL, NULL, NULL)")
        )
    database.close()
    content = {
        table: export_file.contents.measured((batch for batch in rows), lambda rows: None)
        for table, rows in (_tables(old) | {"export": [[(5, "0.0.9")]]}).items()
    }
    with sqlite3.connect(old) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
        for statement in export_file._FACTS:
            raw.execute(statement)
        raw.execute("INSERT INTO export VALUES (5, '0.0.9')")
        raw.executemany(
            "INSERT INTO exported_tables VALUES (?, ?, ?)",
            [(table, one.rows, one.digest) for table, one in content.items()],
        )
        raw.execute(f"PRAGMA application_id = {export_file._APPLICATION_ID}")
    raw.close()
    before = old.read_bytes()
    import_(empty, old)
    assert schema_state(empty) == "current"
    with empty.read(NOW) as reading:
        assert reading.session.execute(
            text("SELECT name, second_factor_required FROM companies")
        ).one() == ("Acme", False)
    assert old.read_bytes() == before


def _tables(path: Path) -> dict[str, list[list[tuple[object, ...]]]]:
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
            )
        ]
        found = {}
        for name in names:
            columns = sorted(row[1] for row in connection.execute(f"PRAGMA table_info({name})"))
            quoted = ", ".join(f'"{column}"' for column in columns)
            found[name] = [connection.execute(f"SELECT {quoted} FROM {name}").fetchall()]
    return found


def test_an_import_that_would_undo_revocations_is_refused(
    on_sqlite: FullRegistry, exported: Path, empty: Database
) -> None:
    """The error names gatepass restore."""
    log = EndedLog(exported.with_name("ended.log"))
    log.append([Revocation(NOW, "access_token", on_sqlite.made.id, 99)])
    with pytest.raises(Conflict, match="gatepass restore deactivates them"):
        import_(empty, exported)
    assert schema_state(empty) == "empty"


def test_an_export_with_a_removed_link_is_refused(
    on_sqlite: FullRegistry, exported: Path, empty: Database
) -> None:
    log = EndedLog(exported.with_name("ended.log"))
    log.append([Revocation(NOW, "identity", f"{on_sqlite.ada.id}:{NOW}", 99)])
    with pytest.raises(Conflict, match="gatepass restore deactivates them"):
        import_(empty, exported)


def test_revocations_that_the_export_has_are_accepted(
    on_sqlite: FullRegistry, empty: Database, tmp_path: Path
) -> None:
    log = EndedLog(tmp_path / "ended.log")
    database = Database(f"sqlite:///{on_sqlite.database.path}", revoked=log.append)
    with database.write(NOW) as change:
        access_tokens.deactivate(change, on_sqlite.signed, on_sqlite.made.id)
    import_(empty, export(database, tmp_path / "x"))
    assert len(list(log.read())) == 1


class Struck(Progress):
    """A failure after all is written, before it is verified."""

    def begin(self, doing: str, rows: int) -> None:
        if doing == "Checking":
            raise Unavailable("struck")


def test_a_failed_import_changes_nothing(empty: Database, exported: Path) -> None:
    with pytest.raises(Unavailable, match="struck"):
        import_(empty, exported, Struck())
    assert schema_state(empty) == "empty"
    import_(empty, exported)
    assert schema_state(empty) == "current"


_KILLED = """
import os, signal, sys
from pathlib import Path
from random import Random
from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.ended_log import EndedLog
from gatepass.registry.backup import export_file, export_import
from gatepass.registry.backup.contents import Progress
from gatepass.registry.backup.restore import restore

class Killed(Progress):
    def begin(self, doing, rows):
        if doing == "Checking":
            os.kill(os.getpid(), signal.SIGKILL)

what, url, path = sys.argv[1:]
database = Database(url)
log = EndedLog(Path(path).with_name("ended.log"))
if what == "export":
    export_import.export(database, Path(path), now=1_800_000_000_000, progress=Killed())
with export_file.opened(Path(path), Progress()) as file:
    if what == "import":
        export_import.import_(database, file, log.read(), progress=Killed())
    else:
        now, logs = 1_800_000_000_000, [log.read()]
        restore(database, file, logs, now=now, past_revision=0, progress=Killed())
"""


def killed(what: str, url: str, path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, what, url, path], timeout=LIMIT_S)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.processes
def test_a_killed_import_leaves_no_partial_contents(
    empty: Database,
    full: Callable[[Database], FullRegistry],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    url: str = request.getfixturevalue(f"{empty.dialect}_url")
    registry = full(Database(url))
    killed("export", url, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    export(registry.database, tmp_path / "x")
    where = f"sqlite:///{empty.path}" if empty.path else f"{url.rpartition('/')[0]}/{IMPORT_TARGET}"
    killed("import", where, tmp_path / "x")
    assert schema_state(empty) == "empty"
    registry.token(registry.signed)
    before = measured(registry.database)
    killed("restore", url, tmp_path / "x")
    assert measured(registry.database) == before
    registry.database.close()
